"""Following the logs of builds, for many viewers at once.

One reader per build reads the database, in a thread, and publishes what is new to the build's viewers on the event
loop. A viewer costs a coroutine and some 10 kB, and its stream is limited so that one user cannot take them all.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar

from sqlalchemy.orm import Session

from db.database import Database
from db.log_store import LogStore, Position
from db.models import Build
from db.records import builds
from db.status import FINAL, Status
from webhook.access.concurrency_limit import ConcurrencyLimit
from webhook.access.permissions import User, may_see
from webhook.streaming.build_reader import BuildReader
from webhook.streaming.events import API, BuildSnapshot, LogChunk, StreamFormat, StreamItem
from webhook.streaming.viewer import PIECE, Viewer

QUEUED_POLL = 0.25
"""Seconds between two reads of a queued build that is watched."""
NO_BUILDER = timedelta(seconds=30)
"""How long a build may be due, with nothing running, before its viewers read that there may be no builder."""
KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment is sent: proxies end silent streams."""
_PAGE = 200  # chunks read at once
_MAX_NAMED_BUILDS = 3  # running builds that are named to the viewers of a queued one
_READING_THREADS = 2

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class LogStream:
    """One stream within the limits: its body, and what frees its slot. `close` may be called more than once."""

    body: AsyncGenerator[bytes, None]
    close: Callable[[], None]


class LogStreams:
    """All open streams of this process. `render` returns what a `status` event shows of a build."""

    def __init__(
        self,
        database: Database,
        log_store: LogStore,
        render: Callable[[Session, Build, datetime], Mapping[str, Any]],
        clock: Callable[[], datetime],
        concurrency: ConcurrencyLimit,
        *,
        poll: float = QUEUED_POLL,
        keep_alive: float = KEEP_ALIVE,
    ) -> None:
        self._database = database
        self.log_store = log_store
        self._render = render
        self._clock = clock
        self._concurrency = concurrency
        self.poll = poll
        self.keep_alive = keep_alive
        self._closing = False
        self._lock = threading.Lock()
        self._open: dict[object, User] = {}
        # One event loop under our server; one for each request under another WSGI server.
        self._readers: dict[tuple[asyncio.AbstractEventLoop, int], BuildReader] = {}
        self._threads = ThreadPoolExecutor(_READING_THREADS, "log-reader")

    @property
    def limit(self) -> int:
        """How many streams may be open."""
        return self._concurrency.limit

    @property
    def open_count(self) -> int:
        """How many streams are open."""
        return len(self._open)

    def open(
        self, build_id: int, after: Position | None, user: User, form: StreamFormat = API
    ) -> LogStream | None:
        """Return a stream of a build's events, by default from its newest attempt on; None for an unknown build.

        The caller must see to it that `close` is called. Raises LimitReached.
        """
        seen = self.read_snapshot(build_id)
        if seen is None:
            return None
        position = Position(seen.end.attempt, 0) if after is None else after
        close = self._reserve(user)
        return LogStream(self._events(build_id, position, form, seen, close), close)

    def open_text(self, build_id: int, attempt: int, user: User) -> LogStream:
        """Return a stream of what an attempt has written so far, as UTF-8. Raises LimitReached.

        The caller must see to it that `close` is called.
        """
        close = self._reserve(user)
        return LogStream(self._text(build_id, attempt, close), close)

    def close(self) -> None:
        """End all streams, without an `end` event: the viewers reconnect. May be called from any thread."""
        with self._lock:
            self._closing = True
            for (loop, _), reader in self._readers.items():
                if not loop.is_closed():
                    loop.call_soon_threadsafe(reader.stop)

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one of this object's reads of the database in a thread."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: function(*args, **kwargs)
        )

    def change_marker(self, build_id: int) -> object:
        """Return what differs from the last time as soon as a running build or its log has changed."""
        with self._database.read() as session:
            return builds.change_marker(session, build_id)

    def read_snapshot(self, build_id: int) -> BuildSnapshot | None:
        """Read a build as it is now, or None."""
        with self._database.read() as session:
            build = builds.get(session, build_id)
            if build is None:
                return None
            final = build.status in FINAL
            status = self._render(session, build, self._clock())
            waits = build.status is Status.QUEUED
            running = _running(session) if waits else ()
            due = max(build.created_at, build.run_after) + NO_BUILDER
            is_unclaimed = waits and not running and self._clock() > due
        # Read after the status, so that the position of a final build is the end of its log.
        return BuildSnapshot(status, final, self.log_store.last_position(build_id), running, is_unclaimed)

    def read_log(self, build_id: int, after: Position, phase: str | None, limit: int = 100) -> list[LogChunk]:
        """Read the log after a position: `limit` chunks at most, which are taken to be of that phase."""
        page = self.log_store.read(build_id, after=after, limit=limit)
        return [LogChunk(position, text, phase) for position, text in page]

    def _reserve(self, user: User) -> Callable[[], None]:
        """Count one more stream of a user, and return what ends that. Raises LimitReached."""
        slot = object()
        with self._lock:
            self._concurrency.acquire(user)
            self._open[slot] = user

        def release() -> None:
            with self._lock:
                if self._open.pop(slot, None) is not None:
                    self._concurrency.release(user)

        return release

    async def _events(
        self,
        build_id: int,
        position: Position,
        form: StreamFormat,
        seen: BuildSnapshot,
        close: Callable[[], None],
    ) -> AsyncGenerator[bytes, None]:
        pages = _Pages(self, build_id, seen.status["phase"])

        async def read_log(after: Position) -> list[StreamItem]:
            return [StreamItem(chunk) for chunk in await pages.read(after)]

        viewer = Viewer(position, form, read_log)
        reader = None if seen.final else self._join(build_id, seen, viewer)
        try:
            if begin := form.begin():
                yield begin
            if reader is None:
                viewer.offer([StreamItem(seen)], "ended" if seen.final else "closing")
            else:
                for piece in viewer.encode([reader.status]):
                    yield piece
            async for piece in viewer.replay():
                yield piece
            async for piece in viewer.follow():
                yield piece
        finally:
            if reader is not None:
                reader.viewers.pop(viewer, None)
            close()

    async def _text(
        self, build_id: int, attempt: int, close: Callable[[], None]
    ) -> AsyncGenerator[bytes, None]:
        after = Position(attempt, 0)
        pages = _Pages(self, build_id)
        try:
            while page := await pages.read(after):
                mine = [chunk for chunk in page if chunk.position.attempt == attempt]
                if not mine:
                    return
                yield "".join(chunk.text for chunk in mine).encode("utf-8", "replace")
                after = mine[-1].position
        finally:
            close()

    def _join(self, build_id: int, seen: BuildSnapshot, viewer: Viewer) -> BuildReader | None:
        """Add a viewer to the reader of a build; None where streams are being closed."""
        key = asyncio.get_running_loop(), build_id
        with self._lock:
            if self._closing:
                return None
            reader = self._readers.get(key)
            if reader is None:
                reader = self._readers[key] = BuildReader(self, build_id, seen)
                reader.start(lambda: self._forget(key))
            reader.viewers[viewer] = None
        return reader

    def _forget(self, key: tuple[asyncio.AbstractEventLoop, int]) -> None:
        with self._lock:
            del self._readers[key]


class _Pages:
    """Reads a log page by page, of about PIECE bytes each: chunks may have a few bytes or 32 KiB."""

    def __init__(self, streams: LogStreams, build_id: int, phase: str | None = None) -> None:
        self._streams = streams
        self._build_id = build_id
        self._phase = phase
        self._limit = 2

    async def read(self, after: Position) -> list[LogChunk]:
        """Return the chunks after a position; none at the end of the log."""
        streams, limit = self._streams, self._limit
        page = await streams.read(streams.read_log, self._build_id, after, self._phase, limit)
        size = sum(len(chunk.text) for chunk in page)
        self._limit = max(2, limit // 2) if size > PIECE else min(_PAGE, limit * 2)
        return page


def _running(session: Session) -> tuple[str, ...]:
    """Name what runs; a repository that is not public stays unnamed."""
    found = (build.repository for build in builds.list_running(session, _MAX_NAMED_BUILDS))
    return tuple(one.full_name if may_see(None, one) else "another repository" for one in found)
