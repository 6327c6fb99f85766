"""BinderHub's server-sent events of a build. Pure.

Each event is one `data:` line of JSON with a `phase` and a `message` that ends in a newline; clients write the
messages into a terminal and look at no other phase than `ready` (or `built`), which has the image, and `failed`.
Exactly one of these two ends every stream. The fields `build_id`, `log_url`, `commit`, `ref`, `queue_position`,
`cached`, `cause` and `rebuild_allowed_at` are ours; BinderHub's clients ignore them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from db.status import Reason, Status
from webhook.streaming.events import BuildSnapshot, LogChunk, StreamEnd

EventFields = Mapping[str, Any]
_NONE: EventFields = MappingProxyType({})

CONTENT_TYPE = "text/event-stream"

RETRY_FAILED = 24 * 3600 * 1000
"""Milliseconds before a browser's EventSource reconnects after the last event."""
RETRY_BROKEN = 3000
"""The same if the build continues."""

_NO_LAUNCH = (
    "The image is ready, but this service does not start servers. Add build_only=true to the request, and start "
    "the image on your hub."
)


def event(phase: str, message: str, fields: EventFields = _NONE, **more: object) -> bytes:
    """Return an encoded event; fields that are None are omitted."""
    text = message if message.endswith("\n") else f"{message}\n"
    data: dict[str, object] = {"phase": phase, "message": text}
    data |= {name: value for name, value in {**fields, **more}.items() if value is not None}
    return f"data: {json.dumps(data)}\n\n".encode("ascii")


def failed(message: str, fields: EventFields = _NONE, *, retry: int = RETRY_FAILED, **more: object) -> bytes:
    """Return the last event of a stream that ends without an image; `message` says what to do."""
    return f"retry: {retry}\n\n".encode() + event("failed", message, fields, **more)


def ready(image: str, message: str, fields: EventFields = _NONE, *, launch: bool = False) -> bytes:
    """Return the last events of a stream that ends with an image.

    If the client also requests a server (`launch`), the stream ends with an error: this service starts none, and
    the client would wait for it.
    """
    if launch:
        return event("built", message, fields, imageName=image) + failed(_NO_LAUNCH, fields, status_code=400)
    return f"retry: {RETRY_FAILED}\n\n".encode() + event("ready", message, fields, imageName=image)


def build_fields(status: EventFields) -> dict[str, object]:
    """Return the fields that identify a build, from its JSON."""
    names = {"build_id": status["id"], "log_url": status["links"]["log"]}
    return names | {"commit": status["commit"], "ref": status["ref"] or None}


@dataclass(frozen=True)
class BinderHubFormat:
    """The format of BinderHub's event stream; `launch` is True if the client also requests a server."""

    launch: bool = False
    keep_alive_comment: bytes = b":keepalive\n\n"

    def begin(self) -> bytes:
        return b""

    def chunk(self, chunk: LogChunk) -> bytes:
        # As it is: a chunk may end in the middle of a line.
        data = {"phase": chunk.phase or "fetching", "message": chunk.text}
        return f"data: {json.dumps(data)}\n\n".encode("ascii")

    def attempt(self, number: int) -> bytes:
        return b""  # the first line of the log has it

    def status(self, seen: BuildSnapshot) -> bytes:
        """Return what a queued build is waiting for; a running one has its log."""
        if seen.status["status"] != Status.QUEUED:
            return b""
        position = seen.status["queue_position"]
        return event("waiting", _waiting(seen), build_fields(seen.status), queue_position=position)

    def over(self, over: StreamEnd, last: BuildSnapshot | None) -> bytes:
        """Return the last events of the stream."""
        if last is not None and last.final:
            return final_events(last.status, launch=self.launch)
        if over == "ended":
            return failed("The record of this build was removed. Request the image again.", status_code=410)
        message = "The service is restarting; the build continues. Repeat the request to follow it."
        return failed(message, status_code=503, retry=RETRY_BROKEN)


def final_events(status: EventFields, *, launch: bool) -> bytes:
    """Return the last events of the stream of a build that has ended."""
    which = build_fields(status)
    if status["status"] == Status.SUCCEEDED:
        if status["image"] is None:
            return failed("The image was removed. Request it again to rebuild it.", which)
        return ready(status["image"]["image"], "Done! Image built", which, launch=launch)
    if status["status"] == Status.CANCELLED:
        return failed(_cancelled(status["reason"]), which)
    return failed(
        status["message"] or "The build failed. See its log for the reason.", which, cause=status["cause"]
    )


def _cancelled(reason: str | None) -> str:
    if reason == Reason.REQUESTED:
        return "The build was cancelled. Request it again in a minute to rebuild it."
    if reason == Reason.SUPERSEDED:
        return "A newer push superseded this build. Request the image again to build the newest commit."
    return "The build was cancelled because its branch or repository was deleted."


def _waiting(seen: BuildSnapshot) -> str:
    position, running = seen.status["queue_position"], seen.running
    message = seen.status["message"]
    before = f"{message.rstrip('.')}. Retrying automatically. " if message and seen.status["attempt"] else ""
    if seen.is_unclaimed:
        return f"{before}No builder has started this build yet. If it stays in the queue, ask an admin."
    if position == 1 and not running:
        return f"{before}Waiting for a builder. No other builds are queued or running."
    place = "next" if position == 1 else f"position {position}"
    now = f"; now running: {', '.join(running)}" if running else ""
    return f"{before}Waiting for a builder: {place} in the queue{now}."
