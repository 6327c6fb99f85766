"""Provoke the races that PostgreSQL's READ COMMITTED allows. SQLite has one writer and none of these races.

Another connection, `rival`, commits between two statements of the tested function, or holds a lock while it runs.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, event, text, update

from db.database import Database
from db.models import Build
from db.queue import supersede, transitions
from db.queue.enqueue import Enqueued
from db.queue.transitions import BuildResult
from db.records import images
from db.status import CancelResult, EnqueueOutcome, Lease, Reason, Status
from tests.conftest import NOW, RECIPE
from tests.db.processes import LATER


@pytest.fixture
def database_url(postgresql_url: str) -> str:
    return postgresql_url


@pytest.fixture
def rival(postgresql_url: str) -> Iterator[Database]:
    """Another connection to the same database."""
    database = Database(postgresql_url)
    yield database
    database.dispose()


def just_before(database: Database, statement: str, act: Callable[[], object]) -> None:
    """Call `act` once, before the first SQL statement that starts with `statement`."""
    pending = [act]

    def act_once(_connection: Connection, _cursor: object, sql: str, *_: object) -> None:
        if pending and sql.startswith(statement):
            pending.pop()()

    event.listen(database.engine, "before_cursor_execute", act_once)


def wait_for_lock_wait(database: Database) -> None:
    waits = "datname = current_database() AND wait_event_type = 'Lock'"
    waiting = text(f"SELECT count(*) FROM pg_stat_activity WHERE {waits}")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with database.read() as session:
            if session.scalar(waiting):
                return
        time.sleep(0.01)
    raise TimeoutError("no connection waited for a lock")


def succeed(rival: Database, lease: Lease) -> None:
    with rival.write() as session:
        build = session.get_one(Build, lease.build_id)
        images.record(session, build=build, recipe=RECIPE, name="made", digest=None, size=1, now=NOW)
        assert transitions.finish(session, lease, BuildResult(Status.SUCCEEDED), now=NOW)


def test_claim_skips_a_build_that_another_builder_is_claiming(
    database: Database, rival: Database, enqueue: Callable[..., Enqueued]
) -> None:
    first, second = enqueue(commit="1" * 40).build, enqueue(commit="2" * 40).build
    assert first is not None and second is not None
    with database.write() as mine, rival.write() as others:
        # If a claim waited, the lock timeout would end it: both sessions are in this thread.
        claimed = [transitions.claim(session, worker="w", now=LATER) for session in (mine, others, others)]
    assert [build and build.id for build in claimed] == [first.id, second.id, None]


def test_a_request_finds_the_image_if_the_build_succeeds_while_it_joins(
    database: Database, rival: Database, enqueue: Callable[..., Enqueued], lease: Lease
) -> None:
    just_before(database, "UPDATE build", lambda: succeed(rival, lease))
    result = enqueue()
    assert result.outcome is EnqueueOutcome.EXISTS
    assert result.image is not None and result.image.name == "made"


def test_a_request_creates_a_new_build_if_the_build_fails_while_it_joins(
    database: Database, rival: Database, enqueue: Callable[..., Enqueued], lease: Lease
) -> None:
    def fail() -> None:
        with rival.write() as session:
            assert transitions.finish(session, lease, BuildResult(Status.FAILED, Reason.USER_ERROR), now=NOW)

    just_before(database, "UPDATE build", fail)
    result = enqueue()
    assert result.outcome is EnqueueOutcome.QUEUED
    assert result.build is not None and result.build.id > lease.build_id


def test_a_request_that_waits_for_the_end_of_a_build_finds_the_image(
    database: Database, rival: Database, enqueue: Callable[..., Enqueued], lease: Lease
) -> None:
    with ThreadPoolExecutor() as pool:
        with rival.write() as session:
            build = session.get_one(Build, lease.build_id)
            images.record(session, build=build, recipe=RECIPE, name="made", digest=None, size=1, now=NOW)
            assert transitions.finish(session, lease, BuildResult(Status.SUCCEEDED), now=NOW)
            session.flush()
            request: Future[Enqueued] = pool.submit(enqueue)
            wait_for_lock_wait(database)
        assert request.result(timeout=30).outcome is EnqueueOutcome.EXISTS
    with database.write() as session:
        assert transitions.claim(session, worker="w", now=NOW) is None


def test_a_cancel_request_during_a_reap_is_not_lost(
    database: Database, rival: Database, lease: Lease
) -> None:
    def cancel() -> None:
        # Without the lock of `reap`, this would be committed before its UPDATE, which would then requeue the
        # build.
        with rival.write() as session:
            session.execute(text("SET LOCAL lock_timeout = '200ms'"))
            transitions.cancel(session, lease.build_id, by="alice", now=NOW)

    errors: list[BaseException] = []

    def try_to_cancel() -> None:
        try:
            cancel()
        except Exception as exc:
            errors.append(exc)

    just_before(database, "UPDATE build", try_to_cancel)
    with database.write() as session:
        assert transitions.reap(session, now=LATER) == [(lease.build_id, Status.QUEUED)]
    assert len(errors) == 1
    with rival.write() as session:
        assert transitions.cancel(session, lease.build_id, by="alice", now=NOW) is CancelResult.DONE


def test_a_cancel_request_during_a_release_is_not_lost(
    database: Database, rival: Database, lease: Lease
) -> None:
    with ThreadPoolExecutor() as pool:
        with rival.write() as session:
            assert transitions.release(session, lease, now=NOW)

            def cancel() -> CancelResult:
                with database.write() as session:
                    return transitions.cancel(session, lease.build_id, by="alice", now=NOW)

            result = pool.submit(cancel)
            wait_for_lock_wait(database)
        assert result.result(timeout=30) is CancelResult.DONE


def test_reap_skips_locked_builds(
    database: Database, rival: Database, enqueue: Callable[..., Enqueued], lease: Lease
) -> None:
    enqueue(commit="e" * 40)
    with database.write() as session:
        other = transitions.claim(session, worker="w", now=NOW)
    assert other is not None
    with rival.write() as session:
        session.execute(update(Build).where(Build.id == lease.build_id).values(message="busy"))
        with database.write() as mine:
            assert transitions.reap(mine, now=LATER) == [(other.id, Status.QUEUED)]


def test_supersede_skips_locked_builds(
    database: Database, rival: Database, enqueue: Callable[..., Enqueued]
) -> None:
    # The push already holds a lock on its own build: waiting for a second one could cause a deadlock.
    busy, idle, newer = (enqueue(commit=letter * 40).build for letter in "abc")
    assert busy and idle and newer
    with rival.write() as session:
        assert transitions.cancel(session, busy.id, by="alice", now=NOW) is CancelResult.DONE
        with database.write() as mine:
            assert supersede.supersede(mine, newer, cancel=True, now=NOW) == 1
            assert mine.get_one(Build, idle.id).superseded_by == newer.id


def test_claim_does_not_wait_for_foreign_key_locks(
    database: Database, rival: Database, queued_build: Build
) -> None:
    with rival.write() as session:
        # The lock that foreign keys of deliveries and log chunks take.
        session.execute(text(f"SELECT 1 FROM build WHERE id = {queued_build.id} FOR KEY SHARE"))
        with database.write() as mine:
            assert transitions.claim(mine, worker="w", now=NOW) is not None


def test_locks_of_a_lost_client_are_released_within_a_minute(database: Database) -> None:
    with database.read() as session:
        limit = session.scalar(text("SHOW idle_in_transaction_session_timeout"))
        driver = session.connection().connection.driver_connection
        assert driver is not None
        parameters = driver.info.get_parameters()
    assert limit == "1min"
    assert (parameters["keepalives_idle"], parameters["keepalives_count"]) == ("30", "3")
    assert parameters["tcp_user_timeout"] == "20000"
