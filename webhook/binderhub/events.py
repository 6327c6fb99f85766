"""BinderHub's server-sent events: what its clients are told of a build. Pure.

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
"""Milliseconds after which a browser's EventSource is asked to connect again when all is told."""
RETRY_BROKEN = 3000
"""And where there is more to come."""

_NO_LAUNCH = (
    "The image is ready, but this service builds images and starts no servers. Ask with build_only=true, and "
    "start the image from your hub."
)


def event(phase: str, message: str, fields: EventFields = _NONE, **more: object) -> bytes:
    """Return one event as it is sent; fields that are None are left out."""
    text = message if message.endswith("\n") else f"{message}\n"
    said = {"phase": phase, "message": text}
    said |= {name: value for name, value in {**fields, **more}.items() if value is not None}
    return f"data: {json.dumps(said)}\n\n".encode("ascii")


def failed(message: str, fields: EventFields = _NONE, *, retry: int = RETRY_FAILED, **more: object) -> bytes:
    """Return the last event of a stream that has no image to give, and what a person can do."""
    return f"retry: {retry}\n\n".encode() + event("failed", message, fields, **more)


def ready(image: str, message: str, fields: EventFields = _NONE, *, launch: bool = False) -> bytes:
    """Return the last events of a stream that has an image to give.

    A client that wants a server started, too (`launch`), is told that the image is built, and then that no server
    comes: to close without a word would leave it waiting.
    """
    if launch:
        return event("built", message, fields, imageName=image) + failed(_NO_LAUNCH, fields, status_code=400)
    return f"retry: {RETRY_FAILED}\n\n".encode() + event("ready", message, fields, imageName=image)


def build_fields(status: EventFields) -> dict[str, object]:
    """Return the fields that say which build this is, of a build as `build_json` describes it."""
    names = {"build_id": status["id"], "log_url": status["links"]["log"]}
    return names | {"commit": status["commit"], "ref": status["ref"] or None}


@dataclass(frozen=True)
class BinderHubFormat:
    """How a followed build is written; `launch` is set where the client wants a server, too."""

    launch: bool = False
    keep_alive_comment: bytes = b":keepalive\n\n"

    def begin(self) -> bytes:
        return b""

    def chunk(self, chunk: LogChunk) -> bytes:
        # As it is: a chunk may end in the middle of a line.
        data = {"phase": chunk.phase or "fetching", "message": chunk.text}
        return f"data: {json.dumps(data)}\n\n".encode("ascii")

    def attempt(self, number: int) -> bytes:
        return b""  # the log's first line says so

    def status(self, seen: BuildSnapshot) -> bytes:
        """Say what a waiting build waits for; what a running one does is in its log."""
        if seen.status["status"] != Status.QUEUED:
            return b""
        position = seen.status["queue_position"]
        return event("waiting", _waiting(seen), build_fields(seen.status), queue_position=position)

    def over(self, over: StreamEnd, last: BuildSnapshot | None) -> bytes:
        """Say how it ended."""
        if last is not None and last.final:
            return final_events(last.status, launch=self.launch)
        if over == "ended":
            return failed("The build is not on record any more. Ask again.", status_code=410)
        message = "The service is being restarted, and the build goes on. Ask again to follow it."
        return failed(message, status_code=503, retry=RETRY_BROKEN)


def final_events(status: EventFields, *, launch: bool) -> bytes:
    """Return the last events of the stream of a build that has ended."""
    which = build_fields(status)
    if status["status"] == Status.SUCCEEDED:
        if status["image"] is None:
            return failed(
                "The image that was built is not there any more. Ask again to build it anew.", which
            )
        return ready(status["image"]["image"], "Done! Image built", which, launch=launch)
    if status["status"] == Status.CANCELLED:
        return failed(_cancelled(status["reason"]), which)
    return failed(status["message"] or "The build failed; its log says why.", which, cause=status["cause"])


def _cancelled(reason: str | None) -> str:
    if reason == Reason.REQUESTED:
        return "The build was cancelled. Ask again in a minute to build it."
    if reason == Reason.SUPERSEDED:
        return "A newer push took the place of this build. Ask again for the newest commit."
    return "The build was cancelled, because its branch or repository was removed."


def _waiting(seen: BuildSnapshot) -> str:
    position, running = seen.status["queue_position"], seen.running
    told = seen.status["message"]
    before = f"{told.rstrip('.')}. It is tried again by itself. " if told and seen.status["attempt"] else ""
    if seen.is_unclaimed:
        return f"{before}No builder has taken it yet; perhaps none is running. It stays in the queue."
    if position == 1 and not running:
        return f"{before}Waiting for a builder; nothing else waits or runs."
    place = "next" if position == 1 else f"number {position}"
    now = f"; running now: {', '.join(running)}" if running else ""
    return f"{before}Waiting for a builder: {place} in the queue{now}."
