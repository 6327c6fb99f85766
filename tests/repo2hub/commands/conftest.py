"""A real web process for the commands; the tests take the part of its builder."""

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from db.database import Database
from db.models import Build
from db.queue import transitions
from db.queue.transitions import BuildResult
from db.records import images, logs
from db.status import Lease, Reason, Status
from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.repo2hub.command_line import Web
from tests.support.waiting import wait_until

SECRET = "a secret for deliveries"

HOSTILE = "\x1b]0;gotcha\x07\x1b[2J\x1b[31mred\x1b[0m"


@pytest.fixture(scope="session")
def folder(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the service, with its database."""
    folder = tmp_path_factory.mktemp("service")
    shutil.copy(sqlite_template, folder / "repo2hub.db")
    return folder


@pytest.fixture(scope="session")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("github")) as server:
        yield server


@pytest.fixture(scope="session")
def web(folder: Path, github: GitServer) -> Iterator[Web]:
    web = Web(
        {
            "DATA_DIR": str(folder),
            "GITHUB_URL": github.url,
            "WEBHOOK_SECRETS": SECRET,
            "BANNED_REPOSITORIES": "evil/*",
        }
    )
    web.start()
    yield web
    web.stop()


_numbers = itertools.count(1)


@pytest.fixture
def pushed(github: GitServer) -> BareRepository:
    """A new repository with one commit."""
    repository = github.create(f"Org/Pushed-{next(_numbers)}")
    repository.commit({"README.md": "hello"})
    return repository


@pytest.fixture
def name(pushed: BareRepository) -> str:
    return pushed.full_name.lower()


@pytest.fixture
def image(pushed: BareRepository) -> str:
    """The name under which `Builder` records the image of the first commit."""
    return image_of(str(pushed.head()))


def image_of(commit: str) -> str:
    return f"repo2hub/org/pushed:{commit[:7]}"


@dataclass
class Builder:
    """A builder that a test controls."""

    database: Database

    def claim(self) -> Build:
        claimed: list[Build] = []

        def take() -> bool:
            with self.database.write() as session:
                build = transitions.claim(session, worker="test", now=datetime.now(UTC))
            claimed.extend([build] if build is not None else [])
            return bool(claimed)

        wait_until(take)
        return claimed[0]

    def write(self, build: Build, seq: int, *texts: str) -> None:
        lease = Lease(build.id, build.attempt)
        with self.database.write() as session:
            assert logs.append(session, lease, first_seq=seq, texts=texts, now=datetime.now(UTC))

    def end(self, build: Build, result: BuildResult) -> None:
        now = datetime.now(UTC)
        with self.database.write() as session:
            assert transitions.finish(session, Lease(build.id, build.attempt), result, now=now)
            if result.status is Status.SUCCEEDED:
                images.record(
                    session,
                    build=build,
                    recipe=build.recipe,
                    name=image_of(build.commit),
                    digest=None,
                    size=1,
                    now=now,
                )

    def succeed(self) -> Build:
        build = self.claim()
        self.write(build, 1, "step 1\n", f"{HOSTILE} step 2\n")
        self.end(build, BuildResult(Status.SUCCEEDED))
        return build

    def fail(self, message: str) -> Build:
        build = self.claim()
        self.end(build, BuildResult(Status.FAILED, Reason.USER_ERROR, "package_not_found", message))
        return build


@pytest.fixture
def builder(folder: Path) -> Iterator[Builder]:
    database = Database(f"sqlite:///{folder / 'repo2hub.db'}")
    yield Builder(database)
    database.dispose()
