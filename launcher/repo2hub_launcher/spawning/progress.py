"""The messages of the hub's progress page while a server starts, kept for pages that open later."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

MAX_MESSAGES = 2000
_MAX_MESSAGE_LENGTH = 400


class Progress:
    """The messages of one start, for any number of viewers."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self._dropped = 0
        self._closed = False
        self._changed = asyncio.Condition()

    async def add_message(self, message: str, percent: int | None = None) -> None:
        """Show a line. `percent` moves the progress bar."""
        event: dict[str, Any] = {"message": message[:_MAX_MESSAGE_LENGTH]}
        if percent is not None:
            event["progress"] = percent
        async with self._changed:
            self._events.append(event)
            if len(self._events) > MAX_MESSAGES:
                del self._events[0]
                self._dropped += 1
            self._changed.notify_all()

    async def close(self) -> None:
        """End `events` after the last message, for a spawner that continues with its own events."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the hub's progress events from the oldest that is kept, until `close` or until the hub stops."""
        seen = 0
        while True:
            async with self._changed:
                while self._dropped + len(self._events) <= seen:
                    if self._closed:
                        return
                    await self._changed.wait()
                new = self._events[max(seen - self._dropped, 0) :]
                seen = self._dropped + len(self._events)
            for event in new:
                yield dict(event)
