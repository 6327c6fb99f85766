"""Cut a build's log into chunks for the log store, and cap its length. Pure."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Chunker:
    """Gathers lines into chunks of at most `max_chunk_bytes` bytes of UTF-8, and `cap_bytes` in total.

    A longer log keeps its beginning and its last `tail_bytes` (at most a quarter of the cap). One extra line
    announces the cut as soon as it is certain; `close` returns the tail.
    """

    max_chunk_bytes: int = 32 * 1024
    cap_bytes: int = 16 * 1024 * 1024
    tail_bytes: int = 64 * 1024
    flush_after: float = 0.25
    """Seconds, by the caller's clock, after which a waiting line is sent even if its chunk is not full."""
    _pending: list[str] = field(default_factory=list, init=False)
    _pending_bytes: int = field(default=0, init=False)
    _pending_since: float = field(default=0.0, init=False)
    _head_bytes: int = field(default=0, init=False)
    _tail: deque[tuple[str, int]] = field(default_factory=deque, init=False)
    _tail_used: int = field(default=0, init=False)
    _cut: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.tail_bytes = min(self.tail_bytes, self.cap_bytes // 4)

    def add(self, line: str, now: float) -> list[str]:
        """Add a line (without its newline) and return the chunks that are ready."""
        ready = []
        for piece, size in _pieces(line + "\n", self.max_chunk_bytes):
            if self._tail or self._cut or self._head_bytes + size > self.cap_bytes - self.tail_bytes:
                ready += self._to_tail(piece, size, now)
            else:
                self._head_bytes += size
                ready += self._append(piece, size, now)
        return ready + self.due(now)

    def due(self, now: float) -> list[str]:
        """Return the waiting lines as a chunk if the oldest has waited for `flush_after`."""
        return self._flush() if self._pending and now - self._pending_since >= self.flush_after else []

    def close(self) -> list[str]:
        """Return the rest: waiting lines, then the tail of a log that was cut."""
        ready: list[str] = []
        while self._tail:
            piece, size = self._tail.popleft()
            ready += self._append(piece, size, self._pending_since)
        return ready + self._flush()

    def _to_tail(self, piece: str, size: int, now: float) -> list[str]:
        ready: list[str] = []
        self._tail.append((piece, size))
        self._tail_used += size
        while self._tail_used > self.tail_bytes:
            if not self._cut:
                self._cut = True
                note = f"[repo2hub] log cut at {self.cap_bytes / 2**20:g} MiB; the last lines follow\n"
                ready += self._append(note, len(note), now)
            self._tail_used -= self._tail.popleft()[1]
        return ready

    def _append(self, piece: str, size: int, now: float) -> list[str]:
        ready = self._flush() if self._pending_bytes + size > self.max_chunk_bytes else []
        if not self._pending:
            self._pending_since = now
        self._pending.append(piece)
        self._pending_bytes += size
        return ready

    def _flush(self) -> list[str]:
        chunk = "".join(self._pending)
        self._pending, self._pending_bytes = [], 0
        return [chunk] if chunk else []


def _pieces(text: str, max_bytes: int) -> Iterable[tuple[str, int]]:
    """Yield pieces of at most `max_bytes` bytes of UTF-8, cut between characters, each with its size."""
    data = text.encode("utf-8", "replace")
    start = 0
    while start < len(data):
        end = min(start + max_bytes, len(data))
        while end < len(data) and end > start + 1 and data[end] & 0xC0 == 0x80:
            end -= 1
        yield data[start:end].decode("utf-8", "replace"), end - start
        start = end
