"""The submodules of a checkout, at every depth, each fetched from where git may connect to.

Their addresses come from the repository, and so from anybody, and `git submodule update --recursive` would ask
them all. So git is stopped at each level: it says which addresses it would ask, relative ones resolved; each is
looked at, and written back as it may be asked. None gets the token, or anybody's repository could name a private
one as its submodule and carry its files off in an image.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from base.git_hosts import HostNotAllowed, with_git_suffix
from base.git_messages import is_redirect
from base.sanitize import one_line
from builder.errors import InfrastructureError, UserError
from builder.source import git_errors
from builder.source.git_access import LOCAL_ENVIRONMENT, GitAccess
from builder.source.git_command import Git, GitFailed

_LIMIT = 60  # seconds for git to read a configuration or an index


def fetch(git: Git, access: GitAccess) -> None:
    """Fetch the submodules of the checkout in `git.folder`, and theirs.

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
    addresses = []
    for key, url in _configured_urls(git.folder):
        address = _allowed_url(git, access, url)
        addresses.append(address)
        if address != url:
            git(["config", key, address], access.environment())
    update = ["submodule", "--quiet", "update", "--depth=1", "--force"]
    git(update, access.environment(urls=addresses))


def _configured_urls(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the keys and values of the addresses that `git submodule init` has noted."""
    argv = ["git", "config", "--local", "-z", "--get-regexp", r"^submodule\..*\.url$"]
    for entry in _output(argv, folder):
        key, _, url = entry.partition("\n")
        yield key, url


def _submodule_folders(folder: Path) -> list[Path]:
    """Return the folders of the submodules that are checked out."""
    entries = (entry.partition("\t") for entry in _output(["git", "ls-files", "--stage", "-z"], folder))
    return [folder / path for mode, _, path in entries if mode.startswith("160000 ")]


def _output(argv: list[str], folder: Path) -> list[str]:
    """Return what a command of git's prints, by its NULs; nothing where it has nothing to say."""
    output = subprocess.run(
        argv, cwd=folder, env=LOCAL_ENVIRONMENT, capture_output=True, check=False, timeout=_LIMIT
    ).stdout
    return output.decode("utf-8", "surrogateescape").split("\0")[:-1]


def _allowed_url(git: Git, access: GitAccess, url: str) -> str:
    """Return where a submodule is to be fetched from."""
    address = access.http_url(url)
    if not address.startswith(("https://", "http://")):
        start = one_line(address.partition(":")[0], 20)
        raise UserError(
            "submodule_not_found",
            f"A submodule has a URL that starts with {start}: use https:// in .gitmodules.",
        )
    try:
        env = access.environment(urls=[address])
    except HostNotAllowed as exc:
        raise UserError("submodule_not_found", f"The submodule at {one_line(address, 200)} {exc}.") from None
    except OSError:
        raise InfrastructureError(
            "submodule_unreachable",
            f"A submodule could not be fetched: {urlsplit(address).hostname} has no address.",
        ) from None
    if access.is_github(address) or address.endswith(".git"):
        return address
    # `git submodule update` would follow no redirect, and not try the suffix: so it is asked first.
    try:
        replace(git, on_line=lambda _line: None)(["ls-remote", "--", address, "HEAD"], env)
    except GitFailed as exc:
        if is_redirect(exc.output):
            return with_git_suffix(address)
    return address
