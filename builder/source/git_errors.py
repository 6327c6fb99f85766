"""Turn git's output into an error that says what is wrong and who can fix it. Pure.

Output that matches no rule here or in `base.git_messages` is an infrastructure error: shown and retried.
"""

import re
from urllib.parse import urlsplit

from base.git_messages import is_denied, is_hidden, is_redirect
from base.sanitize import one_line
from builder.errors import BuildError, InfrastructureError, UserError, no_space_error, tls_untrusted_error

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
    """Return the error for a failed fetch."""
    if error := _builder_error(output):
        return error
    if _NO_COMMIT.search(output):
        return UserError(
            "commit_not_found",
            f"Commit {commit} not found in {url}. A force push may have removed it: build the branch instead.",
        )
    if with_token and is_denied(output):
        return InfrastructureError(
            "token_refused",
            "GitHub rejected the token of this service. Set REPO2HUB_GITHUB_TOKEN to a valid token that can "
            "read this repository.",
        )
    if is_hidden(output):
        hint = "Check its name; to build a private repository, an admin sets REPO2HUB_GITHUB_TOKEN."
        if with_token:
            hint = "Check its name; for a private repository, REPO2HUB_GITHUB_TOKEN must be able to read it."
        elif not at_github:
            hint = "Check its address; only public repositories of this server can be built."
        return UserError("repository_not_found", f"Repository {url} not found, or it is private. {hint}")
    if _UNREACHABLE.search(output):
        return InfrastructureError(
            "github_unreachable", f"Cannot reach {urlsplit(url).hostname}: {_last_error_line(output)}"
        )
    return InfrastructureError("fetch_failed", f"Cannot fetch the commit: {_last_error_line(output)}")


def redirect_error(url: str, commit: str, output: str, *, at_github: bool) -> BuildError:
    """Return the error for a redirect that led to nothing. It was followed without the token."""
    if is_redirect(output):
        return UserError(
            "repository_moved",
            f"{url} redirects to another address. Open it in a browser and use the address that it leads to.",
        )
    if at_github and is_hidden(output):
        return UserError(
            "repository_moved", f"{url} was renamed or moved, and is private. Request it by its new name."
        )
    return fetch_error(url, commit, output, at_github=at_github)


def checkout_error(output: str) -> BuildError:
    """Return the error for a failed checkout."""
    if error := _builder_error(output):
        return error
    if found := _BAD_TREE.search(output):
        return UserError(
            "checkout_refused",
            f"git cannot write a file of the repository: {one_line(found[0], 200)}. Rename the file.",
        )
    return InfrastructureError("checkout_failed", f"Cannot check out the commit: {_last_error_line(output)}")


def submodule_error(output: str) -> BuildError:
    """Return the error for a submodule that could not be fetched."""
    if error := _builder_error(output):
        return error
    if _UNREACHABLE.search(output) and not is_hidden(output):
        return InfrastructureError(
            "submodule_unreachable", f"Cannot fetch a submodule: {_last_error_line(output)}"
        )
    if is_redirect(output):
        return UserError(
            "submodule_not_found",
            f"A submodule's URL redirects. Put the final URL into .gitmodules: {_last_error_line(output)}",
        )
    return UserError(
        "submodule_not_found",
        f"Cannot fetch a submodule; it must exist and be public: {_last_error_line(output)}",
    )


def _builder_error(output: str) -> InfrastructureError | None:
    if _NO_SPACE.search(output):
        return no_space_error()
    if _CERTIFICATE.search(output):
        return tls_untrusted_error()
    return None


def _last_error_line(output: str) -> str:
    """Return git's error: its last line that starts with fatal, error or remote, else its last line."""
    lines = [line for line in output.split("\n") if line.strip()] or ["git printed nothing"]
    errors = [line for line in lines if re.match(r"(?:fatal|error|remote): ", line)]
    return one_line((errors or lines)[-1], 300)
