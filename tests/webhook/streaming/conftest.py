"""A build whose log is written while it is followed, and how its events are read."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import pytest

from db.database import Database
from db.queue import transitions
from db.queue.transitions import BuildResult
from db.records import logs
from db.status import Lease, Status
from repo2hub.client.service import Event, parse_events
from tests.conftest import NOW
from webhook.streaming.log_streams import LogStream

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


@dataclass
class Watch:
    """Collects the events of a stream on the event loop that all streams share, as the server does."""

    stream: LogStream
    loop: asyncio.AbstractEventLoop
    sent: bytes = b""
    _takes: asyncio.Event = field(default_factory=asyncio.Event)
    _done: Future[None] = field(init=False)

    def __post_init__(self) -> None:
        self._takes.set()
        self._done = asyncio.run_coroutine_threadsafe(self._run(), self.loop)

    async def _run(self) -> None:
        try:
            async for piece in self.stream.body:
                self.sent += piece
                await self._takes.wait()
        finally:
            await self.stream.body.aclose()

    def pause(self) -> None:
        """Take nothing any more, as a client whose connection is slow."""
        self.loop.call_soon_threadsafe(self._takes.clear)

    def resume(self) -> None:
        self.loop.call_soon_threadsafe(self._takes.set)

    def until(self, *texts: str) -> None:
        wait_until(lambda: all(json.dumps(text).encode() in self.sent for text in texts))

    def ended(self) -> list[Event]:
        self._done.result(LIMIT)
        return read_events(self.sent)

    def leave(self) -> None:
        """Go away, as a browser does whose connection is closed."""
        self._done.cancel()
        wait_until(self._done.done)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever, daemon=True)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join(LIMIT)
    for task in asyncio.all_tasks(running):
        task.cancel()
    running.run_until_complete(asyncio.sleep(0))
    running.close()


WatchStream = Callable[[LogStream | None], Watch]


@pytest.fixture
def watch(loop: asyncio.AbstractEventLoop) -> WatchStream:
    """Begin to watch a stream that was opened."""

    def begin(stream: LogStream | None) -> Watch:
        assert stream is not None
        return Watch(stream, loop)

    return begin
