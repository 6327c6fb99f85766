"""What is told of a build that is followed, and how our own API writes it as server-sent events.

Events, by WHATWG's "Server-sent events": `log` (its id is `attempt.seq`, the place to resume from), `attempt`
when the log of a new attempt begins, `status` with the build on each change, `end` after the last. Data is
always one line of ASCII JSON, so that no log text can end an event or begin another.

BinderHub's clients are told the same in another way: `webhook/binderhub/events.py`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from db.log_store import Position

StreamEnd = Literal["ended", "closing"]
"""Whether the build has ended, or only this stream."""


class LogChunk(NamedTuple):
    """A piece of a log, and what the build was doing when it was read, as far as that is known."""

    position: Position
    text: str
    phase: str | None


@dataclass(frozen=True, slots=True)
class BuildSnapshot:
    """A build at one moment: what is shown of it, and where its log ended."""

    status: Mapping[str, Any]
    final: bool
    end: Position
    running: tuple[str, ...] = ()
    """What runs while this build waits, in words."""
    is_unclaimed: bool = False
    """Whether it waits, is due, and no builder has taken it or anything else for some time."""


class StreamFormat(Protocol):
    """How a stream is written. Stateless and hashable: what many viewers get is written once."""

    @property
    def keep_alive_comment(self) -> bytes:
        """A comment for when nothing happens."""

    def begin(self) -> bytes:
        """What stands before everything else."""

    def chunk(self, chunk: LogChunk) -> bytes:
        """A piece of the log."""

    def attempt(self, number: int) -> bytes:
        """The log of another attempt begins."""

    def status(self, seen: BuildSnapshot) -> bytes:
        """Something of the build has changed."""

    def over(self, over: StreamEnd, last: BuildSnapshot | None) -> bytes:
        """What stands after everything else; `last` is the last that was told of the build."""


@dataclass(eq=False, slots=True)
class StreamItem:
    """One thing to tell, written once in each format, however many viewers it goes to."""

    content: LogChunk | BuildSnapshot
    _encoded: dict[StreamFormat, bytes] = field(default_factory=dict)

    def encoded(self, form: StreamFormat) -> bytes:
        """Return it as it is sent."""
        frame = self._encoded.get(form)
        if frame is None:
            content = self.content
            frame = form.chunk(content) if isinstance(content, LogChunk) else form.status(content)
            self._encoded[form] = frame
        return frame


def frame(event: str, data: object, position: Position | None = None) -> bytes:
    """Return one named event as it is sent."""
    head = f"id: {position}\n" if position else ""
    return f"{head}event: {event}\ndata: {json.dumps(data)}\n\n".encode("ascii")


@dataclass(frozen=True)
class ApiFormat:
    """The format of `GET /api/v1/builds/<id>/log`."""

    keep_alive_comment: bytes = b": keep-alive\n\n"

    def begin(self) -> bytes:
        """Ask browsers to come back soon where the connection breaks."""
        return b"retry: 2000\n\n"

    def chunk(self, chunk: LogChunk) -> bytes:
        return frame("log", {"text": chunk.text}, chunk.position)

    def attempt(self, number: int) -> bytes:
        return frame("attempt", {"attempt": number})

    def status(self, seen: BuildSnapshot) -> bytes:
        return frame("status", seen.status)

    def over(self, over: StreamEnd, last: BuildSnapshot | None) -> bytes:
        """Say `end` where the build has ended; without it the viewer comes back."""
        return frame("end", {}) if over == "ended" else b""


API = ApiFormat()
