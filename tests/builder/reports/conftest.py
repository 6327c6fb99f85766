"""Builds whose changes are reported to GitHub and to a notified URL, both over real sockets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from base.report_channels import GITHUB_STATUS
from builder.reports.channels import notifiers
from builder.reports.dispatch import ChannelDispatcher
from builder.settings import BuilderSettings
from db.database import Database
from db.models import Repository
from db.queue import enqueue, transitions
from db.queue.transitions import BuildResult
from db.records import repositories
from db.report_model import Report
from db.status import Lease, Reason, Status, Trigger
from tests.conftest import COMMIT, RECIPE
from tests.support.github_api import TOKEN, GitHubApi
from tests.support.stand_in import StandIn

SECRET = "the receiver's secret"
USER_ERROR = BuildResult(Status.FAILED, Reason.USER_ERROR, "package_not_found", "No package is called nump.")
DONE = BuildResult(Status.SUCCEEDED)

Push = Callable[..., int]
End = Callable[..., None]


@dataclass
class Clock:
    """The present, moved on by hand; it begins now because GitHub's stand-in looks at tokens' ages."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def github() -> Iterator[GitHubApi]:
    with GitHubApi() as api:
        yield api


@pytest.fixture
def receiver() -> Iterator[StandIn]:
    with StandIn() as receiver:
        yield receiver


@pytest.fixture
def settings(database_url: str, tmp_path: Path, github: GitHubApi, receiver: StandIn) -> BuilderSettings:
    return BuilderSettings(
        data_dir=tmp_path,
        database_url=database_url,
        public_url="https://hub.example.org/services/binder",
        github_status_token=SecretStr(TOKEN),
        github_api_url=github.url,
        notify_urls=(SecretStr(f"{receiver.url}/hook?key=secret"),),
        notify_secret=SecretStr(SECRET),
    )


@pytest.fixture
def database(database_url: str, settings: BuilderSettings) -> Iterator[Database]:
    database = Database(database_url, channels=settings.channels)
    yield database
    database.dispose()


@pytest.fixture
def repository(database: Database, clock: Clock) -> Repository:
    with database.write() as session:
        return repositories.record(
            session, full_name="Org/Repo", provider_id=1, webhook_active=True, now=clock.now
        )


@pytest.fixture
def push(database: Database, repository: Repository, clock: Clock) -> Callable[..., int]:
    def ask(commit: str = COMMIT, of: Repository = repository) -> int:
        fields: Any = {
            "ref": "refs/heads/main",
            "commit": commit,
            "recipe": RECIPE,
            "trigger": Trigger.PUSH,
        }
        with database.write() as session:
            placed = enqueue.enqueue_entry(session, repository=of, force=True, now=clock.now, **fields)
        assert placed.build is not None
        return placed.build.id

    return ask


@pytest.fixture
def end(database: Database, clock: Clock) -> Callable[..., None]:
    def take_and_finish(result: BuildResult = DONE, seconds: float = 72) -> None:
        with database.write() as session:
            build = transitions.claim(session, worker="w", now=clock.now)
        assert build is not None
        clock.advance(seconds=seconds)
        with database.write() as session:
            assert transitions.finish(session, Lease(build.id, build.attempt), result, now=clock.now)

    return take_and_finish


@pytest.fixture
def channels(settings: BuilderSettings, database: Database, clock: Clock) -> dict[str, ChannelDispatcher]:
    found = {
        name: ChannelDispatcher(name, notifier, database, clock)
        for name, notifier in notifiers(settings, clock).items()
    }
    assert tuple(found) == settings.channels
    return found


@pytest.fixture
def to_github(channels: dict[str, ChannelDispatcher]) -> ChannelDispatcher:
    return channels[GITHUB_STATUS]


@pytest.fixture
def to_receiver(channels: dict[str, ChannelDispatcher]) -> ChannelDispatcher:
    return next(channel for name, channel in channels.items() if name != GITHUB_STATUS)


def reports(database: Database, channel: str = GITHUB_STATUS) -> list[Report]:
    with database.read() as session:
        return list(
            session.scalars(select(Report).where(Report.channel.startswith(channel)).order_by(Report.id))
        )
