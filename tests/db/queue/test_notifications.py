"""Notifying builders on PostgreSQL: once after each commit that queued a build, and never at the build's cost."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.database import Database
from db.models import Build, Repository
from db.queue import enqueue, transitions
from db.status import Trigger
from tests.conftest import COMMIT, NOW, RECIPE


@pytest.fixture
def database_url(postgresql_url: str) -> str:
    return postgresql_url


def test_a_notification_is_sent_once_after_the_commit(
    database: Database, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bool] = []

    def notify(self: Database) -> None:
        with self.read() as session:
            sent.append(session.scalar(select(func.count()).select_from(Build)) == 2)

    monkeypatch.setattr(Database, "_notify_work", notify)
    with database.write() as session:
        for commit in ("a" * 40, "b" * 40):
            _enqueue(session, repository, commit)
    assert sent == [True]
    with pytest.raises(ZeroDivisionError), database.write() as session:
        _enqueue(session, repository, "c" * 40)
        raise ZeroDivisionError
    assert sent == [True]


def test_a_build_whose_notification_was_lost_is_found_by_the_next_claim(
    database: Database, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(_self: Database) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Database, "_notify_work", crash)
    with pytest.raises(KeyboardInterrupt), database.write() as session:
        _enqueue(session, repository, COMMIT)
    with database.write() as session:
        build = transitions.claim(session, worker="w", now=NOW)
    assert build is not None and build.commit == COMMIT


def test_a_failed_notification_fails_nothing_else(
    database: Database, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.database.WORK_CHANNEL", "no channel's name")
    with database.write() as session:
        _enqueue(session, repository, COMMIT)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Build)) == 1


def _enqueue(session: Session, repository: Repository, commit: str) -> None:
    enqueue.enqueue(
        session,
        repository=repository,
        ref="",
        commit=commit,
        recipe=RECIPE,
        trigger=Trigger.PUSH,
        now=NOW,
    )
