"""Races of PostgreSQL's READ COMMITTED, each brought about on purpose: SQLite has one writer and none of them.

A rival commits between two statements of the function under test, or holds a lock while it runs.
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
    """The same database from elsewhere."""
    database = Database(postgresql_url)
    yield database
    database.dispose()


def just_before(database: Database, statement: str, act: Callable[[], object]) -> None:
    """Let a rival act, once, before the first statement that begins so."""
    pending = [act]

    def look(_connection: Connection, _cursor: object, sql: str, *_: object) -> None:
        if pending and sql.startswith(statement):
            pending.pop()()

    event.listen(database.engine, "before_cursor_execute", look)


def wait_until_somebody_waits(database: Database) -> None:
    who = "datname = current_database() AND wait_event_type = 'Lock'"
    waiting = text(f"SELECT count(*) FROM pg_stat_activity WHERE {who}")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with database.read() as session:
            if session.scalar(waiting):
                return
        time.sleep(0.01)
    raise TimeoutError("nobody came to wait")


def succeed(rival: Database, lease: Lease) -> None:
    with rival.write() as session:
        build = session.get_one(Build, lease.build_id)
        images.record(session, build=build, recipe=RECIPE, name="made", digest=None, size=1, now=NOW)
        assert transitions.finish(session, lease, BuildResult(Status.SUCCEEDED), now=NOW)


def test_a_claim_does_not_wait_for_the_build_that_another_is_claiming(
    database: Database, rival: Database, enqueue: Callable[..., Enqueued]
) -> None:
    first, second = enqueue(commit="1" * 40).build, enqueue(commit="2" * 40).build
    assert first is not None and second is not None
    with database.write() as mine, rival.write() as others:
        # Should it wait, the database's limit for locks ends it: both are in this thread.
        claimed = [transitions.claim(one, worker="w", now=LATER) for one in (mine, others, others)]
    assert [build and build.id for build in claimed] == [first.id, second.id, None]


def test_a_wish_whose_build_ends_while_it_joins_finds_the_image(
    database: Database, rival: Database, enqueue: Callable[..., Enqueued], lease: Lease
) -> None:
    just_before(database, "UPDATE build", lambda: succeed(rival, lease))
    answer = enqueue()
    assert answer.outcome is EnqueueOutcome.EXISTS
    assert answer.image is not None and answer.image.name == "made"


def test_a_wish_whose_build_fails_while_it_joins_becomes_a_new_build(
    database: Database, rival: Database, enqueue: Callable[..., Enqueued], lease: Lease
) -> None:
    def fail() -> None:
        with rival.write() as session:
            assert transitions.finish(session, lease, BuildResult(Status.FAILED, Reason.USER_ERROR), now=NOW)

    just_before(database, "UPDATE build", fail)
    answer = enqueue()
    assert answer.outcome is EnqueueOutcome.QUEUED
    assert answer.build is not None and answer.build.id > lease.build_id


def test_a_wish_that_waited_for_the_end_of_the_build_does_not_build_again(
    database: Database, rival: Database, enqueue: Callable[..., Enqueued], lease: Lease
) -> None:
    with ThreadPoolExecutor() as pool:
        with rival.write() as session:
            build = session.get_one(Build, lease.build_id)
            images.record(session, build=build, recipe=RECIPE, name="made", digest=None, size=1, now=NOW)
            assert transitions.finish(session, lease, BuildResult(Status.SUCCEEDED), now=NOW)
            session.flush()
            wish: Future[Enqueued] = pool.submit(enqueue)
            wait_until_somebody_waits(database)
        assert wish.result(timeout=30).outcome is EnqueueOutcome.EXISTS
    with database.write() as session:
        assert transitions.claim(session, worker="w", now=NOW) is None


def test_a_cancel_request_that_meets_a_reaper_is_not_lost(
    database: Database, rival: Database, lease: Lease
) -> None:
    def ask() -> None:
        # Without the reaper's lock this would be committed before its UPDATE, which would then queue the build.
        with rival.write() as session:
            session.execute(text("SET LOCAL lock_timeout = '200ms'"))
            transitions.cancel(session, lease.build_id, by="alice", now=NOW)

    refused: list[BaseException] = []

    def try_to_ask() -> None:
        try:
            ask()
        except Exception as exc:
            refused.append(exc)

    just_before(database, "UPDATE build", try_to_ask)
    with database.write() as session:
        assert transitions.reap(session, now=LATER) == [(lease.build_id, Status.QUEUED)]
    assert len(refused) == 1
    with rival.write() as session:
        assert transitions.cancel(session, lease.build_id, by="alice", now=NOW) is CancelResult.DONE


def test_a_cancel_request_that_meets_a_release_is_not_lost(
    database: Database, rival: Database, lease: Lease
) -> None:
    with ThreadPoolExecutor() as pool:
        with rival.write() as session:
            assert transitions.release(session, lease, now=NOW)

            def cancel() -> CancelResult:
                with database.write() as session:
                    return transitions.cancel(session, lease.build_id, by="alice", now=NOW)

            answer = pool.submit(cancel)
            wait_until_somebody_waits(database)
        assert answer.result(timeout=30) is CancelResult.DONE


def test_a_locked_build_does_not_keep_the_others_from_being_reaped(
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


def test_a_push_does_not_wait_for_an_older_build_that_somebody_is_changing(
    database: Database, rival: Database, enqueue: Callable[..., Enqueued]
) -> None:
    # It holds its own build by then: waiting for a second one is how a deadlock begins.
    busy, idle, newer = (enqueue(commit=letter * 40).build for letter in "abc")
    assert busy and idle and newer
    with rival.write() as session:
        assert transitions.cancel(session, busy.id, by="alice", now=NOW) is CancelResult.DONE
        with database.write() as mine:
            assert supersede.supersede(mine, newer, cancel=True, now=NOW) == 1
            assert mine.get_one(Build, idle.id).superseded_by == newer.id


def test_a_delivery_that_points_to_a_build_does_not_keep_it_from_being_claimed(
    database: Database, rival: Database, queued_build: Build
) -> None:
    with rival.write() as session:
        # What the foreign keys of a delivery and a log chunk take.
        session.execute(text(f"SELECT 1 FROM build WHERE id = {queued_build.id} FOR KEY SHARE"))
        with database.write() as mine:
            assert transitions.claim(mine, worker="w", now=NOW) is not None


def test_a_vanished_client_keeps_its_locks_for_a_minute_at_most(database: Database) -> None:
    with database.read() as session:
        limit = session.scalar(text("SHOW idle_in_transaction_session_timeout"))
        driver = session.connection().connection.driver_connection
        assert driver is not None
        parameters = driver.info.get_parameters()
    assert limit == "1min"
    assert (parameters["keepalives_idle"], parameters["keepalives_count"]) == ("30", "3")
    assert parameters["tcp_user_timeout"] == "20000"
