"""Parse server-sent events from a stream of bytes, as far as the service uses WHATWG's "Server-sent events"."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `last_event_id` is where to resume the stream after it, if it has one."""

    name: str
    data: dict[str, Any]
    last_event_id: str | None = None


@dataclass
class EventParser:
    """Parses a stream in pieces of any size."""

    _rest: bytes = b""
    _name: str = "message"
    _id: str | None = None
    _data: list[str] = field(default_factory=list)

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Yield the events that a piece completes; events whose data is no JSON object are skipped."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for raw in lines:
            line = raw.decode("utf-8", "replace").removesuffix("\r")
            if line:
                self._take(line)
            elif self._data:
                event = _event(self._name, "\n".join(self._data), self._id)
                self._reset()
                if event is not None:
                    yield event
            else:
                self._reset()

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id":
            self._id = value

    def _reset(self) -> None:
        self._name, self._id, self._data = "message", None, []


def _event(name: str, text: str, event_id: str | None) -> Event | None:
    try:
        data = json.loads(text)
    except ValueError:
        return None
    return Event(name, data, event_id) if isinstance(data, dict) else None
