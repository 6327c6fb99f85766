"""Deliveries are recorded once, in the transaction of the changes they cause."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from db.database import Database
from db.models import Delivery, Repository
from db.queue.enqueue import Enqueued
from db.records import deliveries
from tests.conftest import NOW


def record(session: Session, guid: str, minutes: int = 0) -> bool:
    now = NOW + timedelta(minutes=minutes)
    return deliveries.record(session, guid=guid, event="push", action=None, now=now)


def test_a_redelivery_is_recognized_by_its_guid(database: Database) -> None:
    with database.write() as session:
        assert record(session, "one")
        assert not record(session, "one")
        assert record(session, "two")
    with database.write() as session:
        assert not record(session, "one")


def test_a_delivery_can_be_recorded_again_after_a_rollback(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as session:
        assert record(session, "one")
        raise ZeroDivisionError
    with database.write() as session:
        assert record(session, "one")


def test_the_outcome_of_a_delivery_is_recorded(
    database: Database, repository: Repository, enqueue: Callable[..., Enqueued]
) -> None:
    build = enqueue().build
    assert build is not None
    with database.write() as session:
        record(session, "one")
        deliveries.record_outcome(
            session,
            "one",
            outcome="queued",
            detail="why",
            repository_id=repository.id,
            ref="refs/heads/main",
            commit=build.commit,
            build_id=build.id,
        )
    with database.read() as session:
        row = session.get_one(Delivery, "one")
    assert (row.outcome, row.detail, row.repository_id, row.build_id) == (
        "queued",
        "why",
        repository.id,
        build.id,
    )
    assert (row.ref, row.commit, row.received_at) == ("refs/heads/main", build.commit, NOW)


def test_a_long_event_or_action_is_shortened(database: Database) -> None:
    with database.write() as session:
        assert deliveries.record(session, guid="one", event="e" * 500, action="a" * 500, now=NOW)
    with database.read() as session:
        row = session.get_one(Delivery, "one")
    assert (row.event, row.action) == ("e" * 64, "a" * 64)


def test_the_newest_deliveries_of_a_repository_come_first(database: Database, repository: Repository) -> None:
    with database.write() as session:
        for minutes, guid in enumerate(["old", "newer", "newest"]):
            record(session, guid, minutes)
            deliveries.record_outcome(session, guid, outcome="x", repository_id=repository.id)
        record(session, "of another repository", 9)
    with database.read() as session:
        assert [row.guid for row in deliveries.newest(session, repository.id, limit=2)] == ["newest", "newer"]
