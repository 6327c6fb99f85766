"""Server-sent events, by the rules of the HTML standard, "Interpreting an event stream"."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import requests

JSON = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """One server-sent event. `last_event_id` is where to resume the stream after it."""

    name: str
    last_event_id: str
    data: JSON


def parse_events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of a stream; data that is no JSON object becomes an empty one."""
    name, last_event_id, data = "message", "", list[str]()
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "" if not line:
                if data:
                    yield Event(name, last_event_id, json_object("\n".join(data)))
                name, data = "message", []
            case "event":
                name = value
            case "id":
                last_event_id = value
            case "data":
                data.append(value)


def read_lines(response: requests.Response) -> Iterator[str]:
    """Yield the lines of an event stream, which end at \\n or \\r\\n.

    `iter_lines` of requests also splits at other characters, such as U+2028, which a log may contain.
    """
    rest = b""
    for piece in response.iter_content(chunk_size=None):
        *lines, rest = (rest + piece).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")


def json_object(text: str | bytes) -> JSON:
    """Return a JSON object, or an empty one if the text is anything else."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}
