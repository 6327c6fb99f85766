"""The contract of `db.queue.wake_up.WakeUp`, held against both implementations, and what LISTEN adds to it.

The waits below get a minute: a wake-up that does not come makes the test time out, and one that comes returns long
before that. Nothing else is timed.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import text

from db.database import Database
from db.models import Repository
from db.queue import enqueue, transitions
from db.queue.database_wake_up import POLL_INTERVAL, ListeningWakeUp, PollingWakeUp, database_wake_up
from db.queue.enqueue import Enqueued
from db.queue.wake_up import WakeUp
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
def listener(postgresql_url: str, stop: threading.Event) -> Iterator[WakeUp]:
    """A wake-up of a builder's own, which has begun to listen."""
    database = Database(postgresql_url)
    wake_up = database_wake_up(database)
    assert isinstance(wake_up, ListeningWakeUp)
    wake_up.wait(MINUTE, stop)
    yield wake_up
    wake_up.close()
    database.dispose()


@pytest.fixture
def database_url(postgresql_url: str) -> str:
    return postgresql_url


def is_waiting(waiting: Future[None]) -> bool:
    try:
        waiting.result(timeout=1.5)
    except TimeoutError:
        return True
    return False


def test_a_request_wakes_a_builder_when_it_is_committed_and_not_before(
    database: Database,
    repository: Repository,
    listener: WakeUp,
    pool: ThreadPoolExecutor,
    stop: threading.Event,
) -> None:
    waiting = pool.submit(listener.wait, MINUTE, stop)
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


def test_a_request_between_two_waits_is_not_missed(
    listener: WakeUp, enqueue: Callable[..., Enqueued], pool: ThreadPoolExecutor, stop: threading.Event
) -> None:
    enqueue()
    pool.submit(listener.wait, MINUTE, stop).result(timeout=OUT_OF_PATIENCE)
    assert is_waiting(pool.submit(listener.wait, MINUTE, stop))


def test_a_released_build_wakes_a_builder(
    database: Database, listener: WakeUp, lease: Lease, pool: ThreadPoolExecutor, stop: threading.Event
) -> None:
    listener.wait(MINUTE, stop)  # for the request itself
    waiting = pool.submit(listener.wait, MINUTE, stop)
    with database.write() as session:
        transitions.release(session, lease, now=NOW)
    waiting.result(timeout=OUT_OF_PATIENCE)


def test_listening_survives_a_lost_connection(
    database: Database,
    listener: WakeUp,
    enqueue: Callable[..., Enqueued],
    pool: ThreadPoolExecutor,
    stop: threading.Event,
) -> None:
    waiting = pool.submit(listener.wait, MINUTE, stop)
    with database.write() as session:
        listens = "datname = current_database() AND query LIKE 'LISTEN%'"
        ended = text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {listens}")
        assert session.scalars(ended).all() == [True]
    waiting.result(timeout=OUT_OF_PATIENCE)  # a lost connection counts as a notification
    pool.submit(listener.wait, MINUTE, stop).result(timeout=OUT_OF_PATIENCE)  # listens again
    waiting = pool.submit(listener.wait, MINUTE, stop)
    assert is_waiting(waiting)
    enqueue()
    waiting.result(timeout=OUT_OF_PATIENCE)


def test_the_listening_connection_is_not_used_for_anything_else(
    postgresql_url: str, stop: threading.Event
) -> None:
    database = Database(postgresql_url)
    wake_up = database_wake_up(database)
    wake_up.wait(MINUTE, stop)
    with pytest.raises(ZeroDivisionError), database.write() as session:
        repositories.record(session, full_name="o/r", now=NOW)
        raise ZeroDivisionError  # on an autocommit connection, such as the listener's, the row would stay
    with database.read() as session:
        assert repositories.find(session, "gh", "o/r") is None
    wake_up.close()
    database.dispose()


# The contract


@pytest.fixture(params=["polling", "listening", "listening-to-nothing"])
def wake_up(request: pytest.FixtureRequest) -> Iterator[WakeUp]:
    """Each implementation, one of them with a database that does not answer."""
    url = {
        "polling": lambda: request.getfixturevalue("sqlite_url"),
        "listening": lambda: request.getfixturevalue("postgresql_url"),
        "listening-to-nothing": lambda: "postgresql+psycopg://nobody@127.0.0.1:1/nothing",
    }[request.param]()
    database = Database(url)
    wake_up = database_wake_up(database)
    assert isinstance(wake_up, PollingWakeUp) == (request.param == "polling")
    yield wake_up
    wake_up.close()
    database.dispose()


def test_a_wait_ends_by_itself(wake_up: WakeUp, pool: ThreadPoolExecutor, stop: threading.Event) -> None:
    for _ in range(2):  # the first wait of a listener connects and returns
        assert pool.submit(wake_up.wait, 0.1, stop).result(timeout=OUT_OF_PATIENCE) is None


def test_stop_ends_the_wait(wake_up: WakeUp, pool: ThreadPoolExecutor, stop: threading.Event) -> None:
    wake_up.wait(0.1, stop)
    waiting = pool.submit(wake_up.wait, MINUTE, stop)
    stop.set()
    waiting.result(timeout=OUT_OF_PATIENCE)


def test_it_can_be_closed_twice_and_used_again(wake_up: WakeUp, stop: threading.Event) -> None:
    wake_up.wait(0.1, stop)
    wake_up.close()
    wake_up.close()
    wake_up.wait(0.1, stop)


# Each implementation


class RecordedStop(threading.Event):
    """An event that records how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return super().wait(timeout)


def test_polling_pauses_shortly() -> None:
    stop = RecordedStop()
    PollingWakeUp().wait(MINUTE, stop)
    PollingWakeUp().wait(0.1, stop)
    assert stop.waits == [POLL_INTERVAL, 0.1]


def test_listening_to_nothing_pauses_instead() -> None:
    nothing, stop = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing"), RecordedStop()
    ListeningWakeUp(nothing).wait(0.1, stop)
    nothing.dispose()
    assert stop.waits == [0.1]


def test_listening_waits_for_the_whole_timeout(
    listener: WakeUp, pool: ThreadPoolExecutor, stop: threading.Event
) -> None:
    waiting = pool.submit(listener.wait, 2.0, stop)
    assert is_waiting(waiting)
    waiting.result(timeout=OUT_OF_PATIENCE)
