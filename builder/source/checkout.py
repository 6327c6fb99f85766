"""Fetch the files of exactly one commit, without its history and without trusting the repository.

repo2docker could clone by itself, but it fetches the whole history, may check out another ref than the requested
one, and keeps a `.git` that differs between two clones of a commit, which breaks the layer cache (see
`drop_git`).
"""

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from base.allowed_git_hosts import HostNotAllowed, with_git_suffix
from base.git_messages import is_redirect
from base.sanitize import one_line
from builder.child_process import StopSignal
from builder.errors import InfrastructureError, UserError
from builder.source import git_errors, submodules
from builder.source.git_access import LOCAL_ENVIRONMENT, GitAccess
from builder.source.git_command import Git, GitFailed

MAX_TITLE, MAX_AUTHOR = 200, 100
_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch(
    url: str,
    commit: str,
    folder: Path,
    *,
    access: GitAccess,
    stop: StopSignal,
    write: Callable[[str], None],
    timeout: float,
    idle_timeout: float,
) -> None:
    """Check out `commit` of the repository at `url` into the empty `folder`, with its submodules.

    `commit` is a full hash (else ValueError). It is fetched by hash, so heads of pull requests and commits
    removed by a force push work as long as the server has them; there is no fallback for a server that refuses
    such fetches. Git LFS pointers stay pointers. Raises UserError, InfrastructureError or Stopped.
    """
    if not _COMMIT.fullmatch(commit):
        raise ValueError(f"not a full commit hash: {commit!r}")
    git = Git(folder, stop, write, time.monotonic(), timeout, idle_timeout)
    anonymous = access.environment()
    git(["init", "--quiet", "--template=", "--initial-branch=repo2hub", "."], anonymous)
    # git resolves relative URLs of submodules against it.
    git(["remote", "add", "origin", url], anonymous)
    _fetch_commit(git, access, url, commit)
    try:
        git(["checkout", "--quiet", "--force", "--detach", commit, "--"], anonymous)
    except GitFailed as exc:
        raise git_errors.checkout_error(exc.output) from None
    submodules.fetch(git, access)


def _fetch_commit(git: Git, access: GitAccess, url: str, commit: str) -> None:
    """Fetch the commit; redirects are followed by our own rules, not by git (see `base.allowed_git_hosts`)."""
    at_github, env = access.is_github(url), _git_environment(access, url)
    try:
        git(_fetch_arguments(url, commit), env)
    except GitFailed as exc:
        if not is_redirect(exc.output):
            with_token = access.token is not None
            raise git_errors.fetch_error(
                url, commit, exc.output, with_token=with_token, at_github=at_github
            ) from None
    else:
        return
    try:
        if at_github:
            # A renamed repository: git may follow the redirect, since it now has no token to send.
            git(_fetch_arguments(url, commit), access.environment())
        else:
            git(_fetch_arguments(with_git_suffix(url), commit), env)
    except GitFailed as exc:
        raise git_errors.redirect_error(url, commit, exc.output, at_github=at_github) from None


def _fetch_arguments(url: str, commit: str) -> list[str]:
    return ["fetch", "--progress", "--no-tags", "--no-recurse-submodules", "--depth=1", "--", url, commit]


def _git_environment(access: GitAccess, url: str) -> dict[str, str]:
    try:
        return access.environment(url, urls=[url])
    except HostNotAllowed as exc:
        raise UserError(
            "host_not_allowed", f"Cannot fetch from {urlsplit(url).netloc}: the server {exc}."
        ) from None
    except OSError:
        raise InfrastructureError(
            "github_unreachable",
            f"Cannot reach {urlsplit(url).hostname}: its name does not resolve. Check the builder's DNS.",
        ) from None


def commit_details(folder: Path) -> tuple[str, str]:
    """Return the title and the author's name of the checked out commit, each shortened to one line."""
    argv = ["git", "-c", "log.showSignature=false", "log", "-1", "--format=%s%x00%an", "--encoding=UTF-8"]
    output = subprocess.run(
        argv, cwd=folder, env=LOCAL_ENVIRONMENT, capture_output=True, check=True, timeout=60
    ).stdout
    title, _, author = output.decode("utf-8", "replace").partition("\0")
    return one_line(title, MAX_TITLE), one_line(author, MAX_AUTHOR)
