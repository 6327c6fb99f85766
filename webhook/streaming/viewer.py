"""One viewer of a log: first what was there before it came, then what it is handed.

While its thread waits, whoever hands over what is new sends it, too (see `webhook/streaming/connection.py`); otherwise it is
kept for the thread. If a viewer is too slow for its buffer it reads the database again from where it stands:
nothing is lost, and nobody else waits.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

from db.records.logs import Position
from webhook.streaming.connection import Connection, ViewerGone
from webhook.streaming.events import API, BuildSnapshot, LogChunk, StreamEnd, StreamFormat, StreamItem

BACKLOG = 500
"""How many pieces are kept for a viewer that is slow."""


@dataclass(eq=False)
class Viewer:
    """One open stream, standing after the chunk `sent`.

    `read_log` gives the next chunks after a position, [] at the end; `on_leave` is called with the viewer and
    may be called more than once.
    """

    sent: Position
    read_log: Callable[[Position], Sequence[StreamItem]]
    on_leave: Callable[["Viewer"], None]
    keep_alive: float
    form: StreamFormat = API
    connection: Connection | None = None
    """Where there is one, to be sent to while the thread waits."""
    first: StreamItem | None = None
    """A status to begin with."""
    last: BuildSnapshot | None = None
    """The newest status that it was told."""
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _items: list[StreamItem] = field(default_factory=list)
    _behind: bool = False
    _over: StreamEnd | None = None
    _begun: bool = False  # something was sent, so the headers were
    _waits: bool = False  # the thread has nothing to do, and `_changed` protects all that is sent
    _rest: bytes = b""  # of a piece that the connection did not take whole
    _gone: bool = False
    _sent_at: float = 0.0

    def offer(self, items: Sequence[StreamItem], over: StreamEnd | None = None) -> None:
        """Hand over what is new. Never waits: chunks that do not fit are read from the database again."""
        with self._changed:
            if self._waits and over is None and self.connection is not None:
                self._send(items, self.connection)
                return
            self._items += items
            if len(self._items) > BACKLOG:
                self._behind = True
                self._items = [item for item in self._items if isinstance(item.content, BuildSnapshot)][-1:]
            self._over = self._over or over
            self._wake()

    def _send(self, items: Sequence[StreamItem], connection: Connection) -> None:
        """Send in place of the thread; wake it where it has to end what was begun."""
        new = self._new(items)
        if not new:
            return
        try:
            self._rest = connection.send_some(new)
        except ViewerGone:
            self._gone = True
        self._sent_at = time.monotonic()
        if self._rest or self._gone:
            self._wake()

    def _wake(self) -> None:
        self._waits = False
        self._changed.notify()

    def leave(self) -> None:
        """Free the place."""
        self.on_leave(self)

    def events(self) -> Iterator[bytes]:
        """Yield the stream from where the viewer stands to the end of the build."""
        try:
            for piece in self._pieces():
                yield piece
                self._begun = True
        finally:
            self.leave()

    def _pieces(self) -> Iterator[bytes]:
        if begin := self.form.begin():
            yield begin
        if self.first is not None and (told := self._new([self.first])):
            yield told
        over = False
        while not over:
            yield from self._replay()
            over = yield from self._live()

    def _replay(self) -> Iterator[bytes]:
        while page := self.read_log(self.sent):
            if new := self._new(page):
                yield new

    def _live(self) -> Generator[bytes, None, bool]:
        """Yield what is handed over. Returns True once all is over, False to read the database again."""
        while True:
            self._end_what_was_begun()
            items, behind, over = self._take()
            if behind:
                return False
            if new := self._new(items):
                yield new
            elif over is None and not self._rest:
                yield self.form.keep_alive_comment
            if over is not None:
                if last := self.form.over(over, self.last):
                    yield last
                return True

    def _take(self) -> tuple[list[StreamItem], bool, StreamEnd | None]:
        with self._changed:
            self._waits = self._begun
            try:
                self._wait()
            finally:
                self._waits = False
            if self._gone:
                raise ViewerGone
            if self._rest:
                return [], False, None  # what has come since stays where it is
            if self._behind:
                self._behind = False
                return [], True, None
            items, self._items = self._items, []
            return items, False, self._over

    def _wait(self) -> None:
        """Wait until there is something to do, or nothing was sent for `keep_alive` seconds."""
        self._sent_at = time.monotonic()
        while (left := self._sent_at + self.keep_alive - time.monotonic()) > 0:
            if self._changed.wait_for(self._has_work, left):
                return

    def _has_work(self) -> bool:
        return bool(self._items or self._behind or self._over or self._rest or self._gone)

    def _end_what_was_begun(self) -> None:
        if self._rest and self.connection is not None:
            self.connection.send_rest(self._rest)
            self._rest = b""

    def _new(self, items: Sequence[StreamItem]) -> bytes:
        """Return the events of what was not sent yet, and stand after it."""
        frames = []
        for item in items:
            if isinstance(item.content, LogChunk):
                position = item.content.position
                if position <= self.sent:
                    continue
                if position.attempt > self.sent.attempt > 0:
                    frames.append(self.form.attempt(position.attempt))
                self.sent = position
            else:
                self.last = item.content
            frames.append(item.encoded(self.form))
        return b"".join(frames)
