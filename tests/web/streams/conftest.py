"""A build whose log is written while it is followed, and how its events are read."""

import time
from collections.abc import Callable, Iterator

import pytest

from db import logs, queue
from db.engine import Database
from db.queue import Lease, Result
from db.status import Status
from repo2hub.client import Event, parse_events
from tests.conftest import NOW

LIMIT = 20.0
"""Seconds after which a test gives up waiting."""

Write, Finish = Callable[..., None], Callable[[], None]


@pytest.fixture
def write(database: Database, lease: Lease) -> Callable[..., None]:
    """Add chunks to the running build's log."""
    written = 0

    def append(*texts: str) -> None:
        nonlocal written
        with database.write() as session:
            assert logs.append(session, lease, first_seq=written + 1, texts=texts, now=NOW)
        written += len(texts)

    return append


@pytest.fixture
def finish(database: Database, lease: Lease) -> Callable[[], None]:
    def end() -> None:
        with database.write() as session:
            assert queue.finish(session, lease, Result(Status.SUCCEEDED), now=NOW)

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
