"""From what git said to an error that says what is wrong, and who can mend it. Pure.

What none of these rules and none of `base.git_messages` knows is tried again, and shown.
"""

import re
from urllib.parse import urlsplit

from base.git_messages import is_denied, is_hidden, is_redirect
from base.sanitize import one_line
from builder.errors import BuildError, InfrastructureError, UserError

# What git says, in the order in which it is looked for.
_CERTIFICATE = re.compile(r"(?i)certificate|SSL peer|CAfile")
_NO_SPACE = re.compile(r"(?i)no space left on device|out of diskspace|quota exceeded|unable to write file")
_NO_COMMIT = re.compile(r"not our ref|unadvertised object|couldn't find remote ref|Could not parse object")
_UNREACHABLE = re.compile(
    r"(?i)could not resolve|failed to connect|couldn't connect|connection|timed out|returned error: (?:429|5\d\d)"
    r"|early EOF|RPC failed|hung up|TLS|SSL|empty reply"
)
_BAD_TREE = re.compile(r"(?i)(invalid path|file name too long|unable to create file)[^\n]*")


def fetch_error(
    url: str, commit: str, output: str, *, with_token: bool = False, at_github: bool = True
) -> BuildError:
    """Say what a failed fetch means, and what to do."""
    if error := _builder_error(output):
        return error
    if _NO_COMMIT.search(output):
        return UserError(
            "commit_not_found", f"{url} has no commit {commit}; it may have been removed by a force push."
        )
    if with_token and is_denied(output):
        return InfrastructureError(
            "token_refused",
            "GitHub refused the token of this service (REPO2HUB_GITHUB_TOKEN): it is wrong, expired or not for "
            "this repository.",
        )
    if is_hidden(output):
        hint = "which needs REPO2HUB_GITHUB_TOKEN"
        if with_token:
            hint = "which REPO2HUB_GITHUB_TOKEN may not read"
        elif not at_github:
            hint = "and of this server only public ones are built"
        return UserError("repository_not_found", f"There is no repository {url}, or it is private, {hint}.")
    if _UNREACHABLE.search(output):
        return InfrastructureError(
            "github_unreachable", f"{urlsplit(url).hostname} could not be reached: {_last_error_line(output)}"
        )
    return InfrastructureError("fetch_failed", f"The commit could not be fetched: {_last_error_line(output)}")


def redirect_error(url: str, commit: str, output: str, *, at_github: bool) -> BuildError:
    """Say why nothing was found where a redirect led, which was asked without the token."""
    if is_redirect(output):
        return UserError(
            "repository_moved",
            f"{url} leads on to another address, which is not followed: open it in a browser, and ask for the "
            "address that is shown then.",
        )
    if at_github and is_hidden(output):
        return UserError(
            "repository_moved", f"{url} was renamed or moved, and is private: ask for it by its new name."
        )
    return fetch_error(url, commit, output, at_github=at_github)


def checkout_error(output: str) -> BuildError:
    """Say why the files of the commit could not be written."""
    if error := _builder_error(output):
        return error
    if found := _BAD_TREE.search(output):
        return UserError(
            "checkout_refused", f"git cannot write a file of the repository: {one_line(found[0], 200)}"
        )
    return InfrastructureError(
        "checkout_failed", f"The commit could not be checked out: {_last_error_line(output)}"
    )


def submodule_error(output: str) -> BuildError:
    """Say why a submodule could not be fetched."""
    if error := _builder_error(output):
        return error
    if _UNREACHABLE.search(output) and not is_hidden(output):
        return InfrastructureError(
            "submodule_unreachable", f"A submodule could not be fetched: {_last_error_line(output)}"
        )
    if is_redirect(output):
        return UserError(
            "submodule_not_found",
            f"A submodule leads on to another address, which is not followed: {_last_error_line(output)}",
        )
    return UserError(
        "submodule_not_found",
        f"A submodule could not be fetched; it must exist and be public: {_last_error_line(output)}",
    )


def _builder_error(output: str) -> InfrastructureError | None:
    if _NO_SPACE.search(output):
        return InfrastructureError("no_space", "The builder's disk is full: free space there.")
    if _CERTIFICATE.search(output):
        return InfrastructureError(
            "tls_untrusted",
            "The certificate of the git server was not trusted. Where a network intercepts TLS, the admin of this "
            "service sets REPO2HUB_EXTRA_CA_CERTS to its CA bundle.",
        )
    return None


def _last_error_line(output: str) -> str:
    """Return git's own complaint: its last line that starts with fatal or error, else its last line."""
    lines = [line for line in output.split("\n") if line.strip()] or ["git said nothing"]
    told = [line for line in lines if re.match(r"(?:fatal|error|remote): ", line)]
    return one_line((told or lines)[-1], 300)
