"""Fetch the submodules of a checkout, at every depth, from allowed servers only.

Their URLs come from the repository, so from anybody, and `git submodule update --recursive` would connect to all
of them. So each level is fetched on its own: git resolves its URLs, each is validated and written back as
allowed. None gets the token: otherwise anybody's repository could name a private one as its submodule and copy
its files into an image.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from base.allowed_git_hosts import HostNotAllowed, with_git_suffix
from base.git_messages import is_redirect
from base.sanitize import one_line
from builder.errors import InfrastructureError, UserError
from builder.source import git_errors
from builder.source.git_access import LOCAL_ENVIRONMENT, GitAccess
from builder.source.git_command import Git, GitFailed

_TIMEOUT = 60  # seconds for git to read a configuration or an index


def fetch(git: Git, access: GitAccess) -> None:
    """Fetch the submodules of the checkout in `git.folder`, recursively.

    Raises UserError, InfrastructureError or Stopped.
    """
    folders = [git.folder]
    while folders:
        folder = folders.pop()
        if (folder / ".gitmodules").is_file():
            try:
                _fetch_level(replace(git, folder=folder), access)
            except GitFailed as exc:
                raise git_errors.submodule_error(exc.output) from None
            folders += _submodule_folders(folder)


def _fetch_level(git: Git, access: GitAccess) -> None:
    git(["submodule", "--quiet", "init"], access.environment())
    targets = []
    for key, url in _configured_urls(git.folder):
        target = _allowed_url(git, access, url)
        targets.append(target)
        if target != url:
            git(["config", key, target], access.environment())
    update = ["submodule", "--quiet", "update", "--depth=1", "--force"]
    git(update, access.environment(urls=targets))


def _configured_urls(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the configuration keys and the URLs that `git submodule init` has set."""
    argv = ["git", "config", "--local", "-z", "--get-regexp", r"^submodule\..*\.url$"]
    for entry in _output(argv, folder):
        key, _, url = entry.partition("\n")
        yield key, url


def _submodule_folders(folder: Path) -> list[Path]:
    """Return the folders of the checked out submodules."""
    entries = (entry.partition("\t") for entry in _output(["git", "ls-files", "--stage", "-z"], folder))
    return [folder / path for mode, _, path in entries if mode.startswith("160000 ")]


def _output(argv: list[str], folder: Path) -> list[str]:
    """Return the NUL-separated output of a git command; an empty list where it fails."""
    output = subprocess.run(
        argv, cwd=folder, env=LOCAL_ENVIRONMENT, capture_output=True, check=False, timeout=_TIMEOUT
    ).stdout
    return output.decode("utf-8", "surrogateescape").split("\0")[:-1]


def _allowed_url(git: Git, access: GitAccess, url: str) -> str:
    """Return the URL to fetch a submodule from. Raises UserError or InfrastructureError."""
    target = access.http_url(url)
    if not target.startswith(("https://", "http://")):
        start = one_line(target.partition(":")[0], 20)
        raise UserError(
            "submodule_not_found",
            f".gitmodules has a URL that starts with {start}. Use https:// instead.",
        )
    try:
        env = access.environment(urls=[target])
    except HostNotAllowed as exc:
        raise UserError(
            "submodule_not_found", f"Cannot fetch the submodule {one_line(target, 200)}: its server {exc}."
        ) from None
    except OSError:
        raise InfrastructureError(
            "submodule_unreachable",
            f"Cannot fetch a submodule: the name {urlsplit(target).hostname} does not resolve. Check .gitmodules.",
        ) from None
    if access.is_github(target) or target.endswith(".git"):
        return target
    # `git submodule update` neither follows redirects nor tries the suffix, so check for a redirect first.
    try:
        replace(git, write=lambda _line: None)(["ls-remote", "--", target, "HEAD"], env)
    except GitFailed as exc:
        if is_redirect(exc.output):
            return with_git_suffix(target)
    return target
