"""The record of a live builder: written from time to time, removed at the end, never a reason to stop."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from structlog.testing import capture_logs

from builder.context import BuilderContext
from builder.housekeeping import Housekeeping
from builder.presence import Presence
from builder.settings import BuilderSettings
from db.database import Database
from db.models import Builder
from db.records import builders
from tests.conftest import NOW


def names(database: Database) -> set[str]:
    with database.read() as session:
        return {one.name for one in builders.list_recent(session, datetime.now(UTC))}


def context_of(folder: Path) -> BuilderContext:
    return BuilderContext.of(BuilderSettings(data_dir=folder, worker_name="host"), {})


def test_a_builder_announces_itself_and_removes_its_record_when_stopped(database: Database) -> None:
    ours = Presence("worker-1", 3, database)
    ours.announce()
    with database.read() as session:
        record = session.get_one(Builder, "worker-1")
    assert record.slots == 3 and record.version and record.started_at <= record.seen_at
    ours.announce()  # too soon to be written again
    with database.read() as session:
        assert session.get_one(Builder, "worker-1").seen_at == record.seen_at
    ours.leave()
    with database.read() as session:
        assert session.get(Builder, "worker-1") is None


def test_builders_on_hosts_of_one_name_are_two(database: Database, tmp_path: Path) -> None:
    both = context_of(tmp_path / "a"), context_of(tmp_path / "b")
    for one in both:
        assert one.worker.startswith("host-")
        Presence(one.worker, 1, database, replaces=one.killed_workers).announce()
    assert names(database) == {one.worker for one in both} and len(names(database)) == 2
    for one in both:
        one.workspaces.close()


def test_a_builder_replaces_a_killed_one(database: Database, tmp_path: Path) -> None:
    first, second = context_of(tmp_path), context_of(tmp_path)
    for one in (first, second):
        Presence(one.worker, 1, database, replaces=one.killed_workers).announce()
    assert names(database) == {first.worker, second.worker}
    os.close(first.workspaces._lock)  # as the end of its process does
    third = context_of(tmp_path)
    assert third.killed_workers == [first.worker]
    Presence(third.worker, 1, database, replaces=third.killed_workers).announce()
    assert names(database) == {second.worker, third.worker}
    for one in (second, third):
        one.workspaces.close()


def test_the_record_of_a_builder_that_stopped_announcing_itself_is_removed(database: Database) -> None:
    with database.write() as session:
        for name, ago in (("lives", 0), ("silent", 20), ("gone", 25)):
            at = NOW - timedelta(hours=ago)
            builders.record_presence(session, name=name, slots=1, version="1", started_at=at, now=at)
    Housekeeping(database, clock=lambda: NOW).clean_up()
    with database.read() as session:
        assert set(session.scalars(select(Builder.name))) == {"lives", "silent"}


def test_an_unavailable_database_does_not_stop_a_builder(tmp_path: Path) -> None:
    without_tables = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    ours = Presence("worker-1", 1, without_tables)
    with capture_logs() as logged:
        ours.announce()
        ours.leave()
        Housekeeping(without_tables).clean_up()
    without_tables.dispose()
    assert len(logged) == 3 and all("no such table" in one["error"] for one in logged)
