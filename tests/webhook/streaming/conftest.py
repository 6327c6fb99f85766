"""A build whose log is written while it is followed, and how its events are read."""

import time
from collections.abc import Callable, Iterator

import pytest

from db.database import Database
from db.queue import transitions
from db.queue.transitions import BuildResult
from db.records import logs
from db.status import Lease, Status
from repo2hub.client.service import Event, parse_events
from tests.conftest import NOW

LIMIT = 20.0
"""Seconds after which a test gives up waiting."""

Write, Finish = Callable[..., None], Callable[[], None]


@pytest.fixture
def write(database: Database, lease: Lease) -> Callable[..., None]:
    """Add chunks to the running build's log."""
    encoded = 0

    def append(*texts: str) -> None:
        nonlocal encoded
        with database.write() as session:
            assert logs.append(session, lease, first_seq=encoded + 1, texts=texts, now=NOW)
        encoded += len(texts)

    return append


@pytest.fixture
def finish(database: Database, lease: Lease) -> Callable[[], None]:
    def end() -> None:
        with database.write() as session:
            assert transitions.finish(session, lease, BuildResult(Status.SUCCEEDED), now=NOW)

    return end


def read_events(source: Iterator[bytes] | bytes) -> list[Event]:
    """Return the events of a stream that has ended."""
    data = source if isinstance(source, bytes) else b"".join(source)
    return list(parse_events(data.decode().split("\n")))


def log_texts(events: list[Event]) -> list[str]:
    """Return what they tell of the log."""
    return [str(event.data["text"]) for event in events if event.name == "log"]


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when it holds; fail after LIMIT."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
