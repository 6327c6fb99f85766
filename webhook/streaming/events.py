"""The items of a log stream, and their format in our API: server-sent events.

Events, by WHATWG's "Server-sent events": `log` (its id is `attempt.seq`, the position to resume from), `attempt`
when the log of a new attempt begins, `status` with the build on each change, `end` after the last. Data is
always one line of ASCII JSON, so that no log text can end an event or begin another.

`webhook/binderhub/events.py` has BinderHub's format.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from db.log_store import Position

StreamEnd = Literal["ended", "closing"]
"""Whether the build has ended, or only this stream."""


class LogChunk(NamedTuple):
    """A piece of a log, and the build's phase when it was read, if known."""

    position: Position
    text: str
    phase: str | None


@dataclass(frozen=True, slots=True)
class BuildSnapshot:
    """A build at one moment: its JSON, and the end of its log."""

    status: Mapping[str, Any]
    final: bool
    end: Position
    running: tuple[str, ...] = ()
    """Descriptions of the builds that run while this one is queued."""
    is_unclaimed: bool = False
    """Whether it is queued and due, and no builder has claimed any build for some time."""


class StreamFormat(Protocol):
    """The encoding of a stream. Stateless and hashable: an item is encoded once for all viewers."""

    @property
    def keep_alive_comment(self) -> bytes:
        """The comment that is sent while nothing happens."""

    def begin(self) -> bytes:
        """Return the beginning of a stream."""

    def chunk(self, chunk: LogChunk) -> bytes:
        """Encode a piece of the log."""

    def attempt(self, number: int) -> bytes:
        """Encode the beginning of another attempt's log."""

    def status(self, seen: BuildSnapshot) -> bytes:
        """Encode a change of the build."""

    def over(self, over: StreamEnd, last: BuildSnapshot | None) -> bytes:
        """Return the end of a stream; `last` is the last snapshot of the build."""


@dataclass(eq=False, slots=True)
class StreamItem:
    """An item of a stream, encoded once per format for all viewers."""

    content: LogChunk | BuildSnapshot
    _encoded: dict[StreamFormat, bytes] = field(default_factory=dict)

    def encoded(self, form: StreamFormat) -> bytes:
        """Return the item in a format."""
        frame = self._encoded.get(form)
        if frame is None:
            content = self.content
            frame = form.chunk(content) if isinstance(content, LogChunk) else form.status(content)
            self._encoded[form] = frame
        return frame


def frame(event: str, data: object, position: Position | None = None) -> bytes:
    """Return an encoded named event."""
    head = f"id: {position}\n" if position else ""
    return f"{head}event: {event}\ndata: {json.dumps(data)}\n\n".encode("ascii")


@dataclass(frozen=True)
class ApiFormat:
    """The format of `GET /api/v1/builds/<id>/log`."""

    keep_alive_comment: bytes = b": keep-alive\n\n"

    def begin(self) -> bytes:
        """Let browsers reconnect soon after a connection breaks."""
        return b"retry: 2000\n\n"

    def chunk(self, chunk: LogChunk) -> bytes:
        return frame("log", {"text": chunk.text}, chunk.position)

    def attempt(self, number: int) -> bytes:
        return frame("attempt", {"attempt": number})

    def status(self, seen: BuildSnapshot) -> bytes:
        return frame("status", seen.status)

    def over(self, over: StreamEnd, last: BuildSnapshot | None) -> bytes:
        """Return the event `end` if the build has ended; without it, the viewer reconnects."""
        return frame("end", {}) if over == "ended" else b""


API = ApiFormat()
