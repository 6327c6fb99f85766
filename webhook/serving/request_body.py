"""Reading request bodies whole, before a thread is spent on them.

A body has a limit and a deadline, and all bodies together have a limit, too. Where that is reached, the body that
has been arriving for the longest time is given up: GitHub's deliveries arrive within milliseconds, a client that
wants to occupy memory needs to be slow.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

READ_LIMIT = 30.0
"""Seconds that a body may take. GitHub itself gives up a delivery after 10."""
MAX_HELD = 128 * 2**20
"""Bytes of all bodies that are held at once."""


class BodyTooLarge(Exception):
    """The body is larger than this request may have."""


class BodyTimeout(Exception):
    """The body did not arrive in time, or others needed its memory."""


class ClientDisconnected(Exception):
    """The client closed its connection."""


class _Reading:
    def __init__(self, deadline: asyncio.Timeout) -> None:
        self.deadline = deadline
        self.parts: list[bytes] = []
        self.size = 0


class RequestBodies:
    """All request bodies of one process. Used on one event loop."""

    def __init__(self, max_held: int = MAX_HELD) -> None:
        self._max_held = max_held
        self._held = 0
        self._arriving: dict[_Reading, None] = {}  # the oldest first

    async def read(self, receive: Receive, limit: int) -> bytes:
        """Return a body, which counts as held until it is released.

        Raises BodyTooLarge, BodyTimeout or ClientDisconnected.
        """
        try:
            async with asyncio.timeout(READ_LIMIT) as deadline:
                reading = _Reading(deadline)
                self._arriving[reading] = None
                try:
                    await self._receive_all(reading, receive, limit)
                except BaseException:
                    self._held -= reading.size
                    raise
                finally:
                    self._arriving.pop(reading, None)
        except TimeoutError:
            raise BodyTimeout from None
        return b"".join(reading.parts)

    def release(self, body: bytes) -> None:
        """Count a body as held no longer."""
        self._held -= len(body)

    async def _receive_all(self, reading: _Reading, receive: Receive, limit: int) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            part: bytes = message.get("body", b"")
            reading.parts.append(part)
            reading.size += len(part)
            self._held += len(part)
            if reading.size > limit:
                raise BodyTooLarge
            while self._held > self._max_held and self._arriving:
                self._give_up(next(iter(self._arriving)))
            if reading not in self._arriving:
                raise BodyTimeout
            if not message.get("more_body", False):
                return

    def _give_up(self, reading: _Reading) -> None:
        del self._arriving[reading]
        self._held -= reading.size
        reading.size = 0
        reading.parts.clear()
        reading.deadline.reschedule(asyncio.get_running_loop().time())
