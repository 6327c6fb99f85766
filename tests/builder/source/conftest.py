"""A git server for each test, and fetching a commit from it as a build does."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from builder.child_process import StopSignal
from builder.errors import BuildError
from builder.source.checkout import fetch
from builder.source.git_access import GitAccess
from demo.github.git_server import GitServer

TOKEN = "ghs_notarealtokenbutlongenough"


class Checkout:
    """Fetches into a new folder and records git's output; `hosts` is REPO2HUB_GIT_HOSTS."""

    def __init__(self, github: GitServer, folder: Path) -> None:
        self.github = github
        self.folder = folder
        self.lines: list[str] = []
        self.stop = StopSignal()
        self.hosts: tuple[str, ...] = ()

    def __call__(
        self,
        full_name: str,
        commit: str,
        *,
        token: str | None = None,
        base: str | None = None,
        elsewhere: str | None = None,
        limit: float = 60,
    ) -> Path:
        """Return the folder; `base` is GitHub's address, `elsewhere` that of another server with the commit."""
        number = len(list(self.folder.iterdir())) if self.folder.exists() else 0
        into, home = self.folder / f"{number}" / "source", self.folder / f"{number}" / "home"
        into.mkdir(parents=True)
        home.mkdir()
        github_url = base or self.github.url
        server = elsewhere or github_url
        access = GitAccess(
            github_url, SecretStr(token) if token else None, home, None, os.environ, server, self.hosts
        )
        fetch(
            f"{server}/{full_name}",
            commit,
            into,
            access=access,
            stop=self.stop,
            write=self.lines.append,
            timeout=limit,
            idle_timeout=60,
        )
        return into


@pytest.fixture
def checkout(github: GitServer, tmp_path: Path) -> Checkout:
    return Checkout(github, tmp_path / "checkouts")


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def failure(checkout: Checkout, full_name: str, commit: str, **options: str) -> BuildError:
    with pytest.raises(BuildError) as caught:
        checkout(full_name, commit, **options)  # type: ignore[arg-type]
    assert "\n" not in caught.value.message
    return caught.value
