"""Connections: what a transaction promises, on both databases."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError, StatementError

from db import migrate
from db.database import (
    BUILDER_POOL_SIZE,
    BUILDER_READ_POOL_SIZE,
    WEB_POOL_SIZE,
    WEB_READ_POOL_SIZE,
    Database,
)
from db.models import Build, Repository
from db.queue import transitions
from db.queue.transitions import BuildResult
from db.records import repositories
from db.sql import driver
from db.status import Lease, Reason, Status
from tests.conftest import NOW


def count(database: Database) -> int:
    with database.read() as session:
        return len(session.scalars(select(Repository.id)).all())


def test_a_write_is_whole_or_not_at_all(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as session:
        repositories.record(session, full_name="o/r", now=NOW)
        raise ZeroDivisionError
    assert count(database) == 0
    with database.write() as session:
        repositories.record(session, full_name="o/r", now=NOW)
    assert count(database) == 1


def test_a_file_that_is_made_is_for_nobody_else_whatever_the_folder_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = os.umask(0o022)
    try:
        database = Database(f"sqlite:///{tmp_path / 'repo2hub.db'}")
        migrate.upgrade(database)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        database.dispose()
    finally:
        os.umask(before)
    assert modes == {name: 0o600 for name in ("repo2hub.db", "repo2hub.db-wal", "repo2hub.db-shm")}


def test_a_build_needs_its_repository(database: Database, queued_build: Build) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.execute(update(Build).values(repository_id=99))


def test_a_moment_comes_back_as_it_was_in_utc(database: Database, queued_build: Build) -> None:
    moment = datetime(2026, 3, 29, 2, 30, 1, 234567, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    with database.write() as session:
        session.execute(update(Build).values(run_after=moment))
    with database.read() as session:
        stored = session.scalars(select(Build.run_after)).one()
        assert session.scalar(select(Build.id).where(Build.run_after == moment.astimezone(UTC))) is not None
    assert stored == moment and stored.tzinfo is UTC


def test_a_moment_without_a_time_zone_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="time zone"), database.write() as session:
        transitions.claim(session, worker="w", now=datetime(2026, 1, 1))


def test_a_message_from_anywhere_can_be_stored(database: Database, lease: Lease) -> None:
    result = BuildResult(Status.FAILED, Reason.USER_ERROR, "x", "nul \0, half \udcff, \N{RINGED PLANET}")
    with database.write() as session:
        assert transitions.finish(session, lease, result, now=NOW)
    with database.read() as session:
        message = session.get_one(Build, lease.build_id).message
    assert message == "nul \N{REPLACEMENT CHARACTER}, half ?, \N{RINGED PLANET}"


def test_readers_do_not_keep_a_writer_waiting(database: Database) -> None:
    # On PostgreSQL as many as leave it a connection; readers there hold one only while a request is answered.
    many = 25 if database.is_sqlite else WEB_POOL_SIZE - 1
    with ExitStack() as readers:
        for _ in range(many):
            readers.enter_context(database.read()).execute(text("SELECT 1"))
        with database.write() as session:
            repositories.record(session, full_name="o/r", now=NOW)
    assert count(database) == 1


def test_sqlite_waits_for_the_disk_and_minds_foreign_keys(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.read() as session:
        found = {
            name: session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    database.dispose()
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


def test_the_folder_of_the_records_is_made_and_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    database = Database(f"sqlite:///{folder}/repo2hub.db")
    with database.read() as session:
        session.execute(text("SELECT 1"))
    database.dispose()
    assert folder.stat().st_mode & 0o077 == 0


def test_no_statement_on_postgresql_waits_for_ever(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    with database.read() as session:
        limits = [session.scalar(text(f"SHOW {name}")) for name in names]
    database.dispose()
    assert limits == ["30s", "10s", "1min"]


def test_the_first_connections_to_a_new_file_do_not_stand_in_each_others_way(tmp_path: Path) -> None:
    barrier = Barrier(8)

    def connect(path: Path) -> str:
        database = Database(f"sqlite:///{path}")
        barrier.wait(timeout=60)
        with database.read() as session:
            mode: str = session.execute(text("PRAGMA journal_mode")).scalar_one()
        database.dispose()
        return mode

    with ThreadPoolExecutor(8) as threads:
        for number in range(60):
            path = tmp_path / f"{number}.db"
            assert set(threads.map(connect, [path] * 8)) == {"wal"}


def test_three_web_processes_and_ten_builders_stay_within_postgresqls_default() -> None:
    default, reserved_for_superusers, listening = 100, 3, 1
    web = WEB_POOL_SIZE + WEB_READ_POOL_SIZE
    builder = BUILDER_POOL_SIZE + BUILDER_READ_POOL_SIZE + listening
    assert 3 * web + 10 * builder <= default - reserved_for_superusers


def test_a_process_opens_no_connection_beyond_its_pools(postgresql_url: str) -> None:
    database = Database(postgresql_url, pool_size=3, read_pool_size=2)
    at_work = Barrier(3)

    def work(number: int) -> None:
        if number < 3:  # each of them holds a connection until all three are held
            with database.write() as session:
                session.execute(text("SELECT 1"))
                at_work.wait(30)
        with database.write() as session:
            repositories.record(session, full_name=f"o/r{number}", now=NOW)
        driver.read(database, select(Repository.id), {})

    with ThreadPoolExecutor(30) as threads:
        list(threads.map(work, range(30)))
    with database.read() as session:
        others = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        assert session.scalar(others) == 3 + 2
    assert count(database) == 30
    database.dispose()


def test_a_connection_that_broke_while_idle_is_replaced(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.database._PING_AFTER", 0.0)
    database, other = Database(postgresql_url), Database(postgresql_url)
    assert count(database) == 0
    with other.write() as session:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        ended = text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        assert session.scalars(ended).all() == [True]
    with database.write() as session:
        repositories.record(session, full_name="o/r", now=NOW)
    assert count(database) == 1
    database.dispose()
    other.dispose()
