"""One viewer of a log: first what was written before it came, then what its build's reader publishes.

What is published waits in a bounded buffer. A viewer that is too slow for it reads the database again from where
it stands: it loses nothing, and neither the reader nor other viewers wait for it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

from db.log_store import Position
from webhook.streaming.events import BuildSnapshot, LogChunk, StreamEnd, StreamFormat, StreamItem

BACKLOG = 500
"""How many items are kept for a viewer that is slow."""
PIECE = 32 * 1024
"""Bytes after which a piece of the stream is sent, and the most that a read of the log returns."""


class Viewer:
    """One open stream, standing after the chunk `position`. Used on one event loop."""

    def __init__(
        self,
        position: Position,
        form: StreamFormat,
        read_log: Callable[[Position], Awaitable[Sequence[StreamItem]]],
    ) -> None:
        """`read_log` returns the next chunks after a position, and an empty list at the end of the log."""
        self.position = position
        self.sent_at = time.monotonic()
        self._form = form
        self._read_log = read_log
        self._last: BuildSnapshot | None = None  # the newest status that was sent
        self._items: list[StreamItem] = []
        self._is_behind = False
        self._end: StreamEnd | None = None
        self._wake_up: asyncio.Future[None] | None = None

    def offer(self, items: Sequence[StreamItem], end: StreamEnd | None = None) -> None:
        """Publish new items. Never waits: chunks that do not fit are read from the database again."""
        self._items += items
        if len(self._items) > BACKLOG:
            self._is_behind = True
            self._items = [item for item in self._items if isinstance(item.content, BuildSnapshot)][-1:]
        self._end = self._end or end
        self.wake()

    def wake(self) -> None:
        """Let a waiting viewer look at its buffer; where that is empty, it sends a keep-alive comment."""
        if self._wake_up is not None and not self._wake_up.done():
            self._wake_up.set_result(None)

    async def replay(self) -> AsyncIterator[bytes]:
        """Yield the log from the database, from where the viewer stands to its end."""
        while page := await self._read_log(self.position):
            for piece in self.encode(page):
                yield piece

    async def follow(self) -> AsyncIterator[bytes]:
        """Yield what is published until the build or the stream ends, and how it ended."""
        while True:
            if not (self._items or self._is_behind or self._end):
                await self._wait()
            if self._is_behind:
                self._is_behind = False
                async for piece in self.replay():
                    yield piece
                continue
            items, self._items = self._items, []
            end = self._end
            for piece in self.encode(items):
                yield piece
            if end is not None:
                if last := self._form.over(end, self._last):
                    yield last
                return
            if not items:
                self.sent_at = time.monotonic()
                yield self._form.keep_alive_comment

    async def _wait(self) -> None:
        self._wake_up = asyncio.get_running_loop().create_future()
        await self._wake_up
        self._wake_up = None

    def encode(self, items: Iterable[StreamItem]) -> Iterator[bytes]:
        """Yield the events of what was not sent yet, about PIECE bytes at a time, and stand after it."""
        frames: list[bytes] = []
        size = 0
        for item in items:
            for frame in self._frames(item):
                frames.append(frame)
                size += len(frame)
            if size >= PIECE:
                yield self._join(frames)
                frames, size = [], 0
        if size:
            yield self._join(frames)

    def _join(self, frames: list[bytes]) -> bytes:
        self.sent_at = time.monotonic()
        return b"".join(frames)

    def _frames(self, item: StreamItem) -> Iterator[bytes]:
        content = item.content
        if isinstance(content, LogChunk):
            if content.position <= self.position:
                return
            if content.position.attempt > self.position.attempt > 0:
                yield self._form.attempt(content.position.attempt)
            self.position = content.position
        else:
            self._last = content
        yield item.encoded(self._form)
