"""Waiting for work: PostgreSQL calls at once, and again after its connection was lost; SQLite is looked at soon.

The waits below are given a minute: a wake-up that does not come shows as a test that times out, and one that did
come as a return long before that. Nothing else is timed.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import text

from db.database import SQLITE_POLL, Database
from db.models import Repository
from db.queue import enqueue, transitions
from db.queue.enqueue import Enqueued
from db.records import repositories
from db.status import Lease, Trigger
from tests.conftest import COMMIT, NOW, RECIPE

pytestmark = pytest.mark.slow

MINUTE = 60.0
OUT_OF_PATIENCE = 20.0


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def pool(stop: threading.Event) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool
        stop.set()


@pytest.fixture
def builder(postgresql_url: str, stop: threading.Event) -> Iterator[Database]:
    """A builder's own way to the database, which has begun to listen."""
    builder = Database(postgresql_url)
    builder.wait_for_work(MINUTE, stop)
    yield builder
    builder.dispose()


@pytest.fixture
def database_url(postgresql_url: str) -> str:
    return postgresql_url


def is_waiting(waiting: Future[None]) -> bool:
    try:
        waiting.result(timeout=1.5)
    except TimeoutError:
        return True
    return False


def test_a_wish_wakes_a_builder_when_it_is_committed_and_not_before(
    database: Database,
    repository: Repository,
    builder: Database,
    pool: ThreadPoolExecutor,
    stop: threading.Event,
) -> None:
    waiting = pool.submit(builder.wait_for_work, MINUTE, stop)
    with database.write() as session:
        enqueue.enqueue(
            session,
            repository=repository,
            ref="",
            commit=COMMIT,
            recipe=RECIPE,
            trigger=Trigger.PUSH,
            now=NOW,
        )
        session.flush()
        assert is_waiting(waiting)
    waiting.result(timeout=OUT_OF_PATIENCE)


def test_a_wish_between_two_waits_is_not_missed(
    builder: Database, enqueue: Callable[..., Enqueued], pool: ThreadPoolExecutor, stop: threading.Event
) -> None:
    enqueue()
    pool.submit(builder.wait_for_work, MINUTE, stop).result(timeout=OUT_OF_PATIENCE)
    assert is_waiting(pool.submit(builder.wait_for_work, MINUTE, stop))


def test_a_build_that_is_given_back_wakes_a_builder(
    database: Database, builder: Database, lease: Lease, pool: ThreadPoolExecutor, stop: threading.Event
) -> None:
    builder.wait_for_work(MINUTE, stop)  # for the wish itself
    waiting = pool.submit(builder.wait_for_work, MINUTE, stop)
    with database.write() as session:
        transitions.release(session, lease, now=NOW)
    waiting.result(timeout=OUT_OF_PATIENCE)


def test_listening_survives_a_lost_connection(
    database: Database,
    builder: Database,
    enqueue: Callable[..., Enqueued],
    pool: ThreadPoolExecutor,
    stop: threading.Event,
) -> None:
    waiting = pool.submit(builder.wait_for_work, MINUTE, stop)
    with database.write() as session:
        listener = "datname = current_database() AND query LIKE 'LISTEN%'"
        ended = text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {listener}")
        assert session.scalars(ended).all() == [True]
    waiting.result(timeout=OUT_OF_PATIENCE)  # a lost connection counts as a call
    pool.submit(builder.wait_for_work, MINUTE, stop).result(timeout=OUT_OF_PATIENCE)  # listens anew
    waiting = pool.submit(builder.wait_for_work, MINUTE, stop)
    assert is_waiting(waiting)
    enqueue()
    waiting.result(timeout=OUT_OF_PATIENCE)


def test_the_connection_that_listens_is_nobody_elses(builder: Database) -> None:
    with pytest.raises(ZeroDivisionError), builder.write() as session:
        repositories.record(session, full_name="o/r", now=NOW)
        raise ZeroDivisionError  # where each statement commits by itself, as the listener's do, it would stay
    with builder.read() as session:
        assert repositories.find(session, "gh", "o/r") is None


class RecordedStop(threading.Event):
    """An event that records how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return super().wait(timeout)


def test_waiting_where_no_database_answers_ends_without_an_error() -> None:
    nobody, stop = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing"), RecordedStop()
    nobody.wait_for_work(0.1, stop)
    nobody.dispose()
    assert stop.waits == [0.1]


def test_being_told_to_stop_ends_the_wait(
    builder: Database, pool: ThreadPoolExecutor, stop: threading.Event
) -> None:
    waiting = pool.submit(builder.wait_for_work, MINUTE, stop)
    stop.set()
    waiting.result(timeout=OUT_OF_PATIENCE)


def test_a_wait_ends_by_itself(builder: Database, pool: ThreadPoolExecutor, stop: threading.Event) -> None:
    waiting = pool.submit(builder.wait_for_work, 2.0, stop)
    assert is_waiting(waiting)
    waiting.result(timeout=OUT_OF_PATIENCE)


def test_sqlite_is_looked_at_soon_or_when_told_to_stop(
    sqlite_url: str, pool: ThreadPoolExecutor, stop: threading.Event
) -> None:
    database = Database(sqlite_url)
    assert SQLITE_POLL < 1
    pool.submit(database.wait_for_work, MINUTE, stop).result(timeout=OUT_OF_PATIENCE)
    stop.set()
    pool.submit(database.wait_for_work, MINUTE, stop).result(timeout=OUT_OF_PATIENCE)
    database.dispose()
