"""Reading one build for all of its viewers on one event loop."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.exc import OperationalError

from db.log_store import LogStoreUnavailable
from db.status import Status
from webhook.streaming.events import BuildSnapshot, StreamEnd, StreamItem
from webhook.streaming.viewer import Viewer

if TYPE_CHECKING:
    from webhook.streaming.log_streams import LogStreams

RUNNING_POLL = 0.05
"""Seconds between two checks of a running build, each a single small read that says whether to read more."""
_FANOUT_BATCH = 50  # viewers that are served before the loop turns to other connections

UNAVAILABLE = (OperationalError, LogStoreUnavailable)

log = structlog.get_logger()


class BuildReader:
    """Publishes what is new of a build for as long as it has viewers."""

    def __init__(self, streams: "LogStreams", build_id: int, seen: BuildSnapshot) -> None:
        self.build_id = build_id
        self.viewers: dict[Viewer, None] = {}
        self.status = StreamItem(seen)
        self._streams = streams
        self._seen = seen
        self._position = seen.end
        self._change_marker: object = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, on_end: Callable[[], None]) -> None:
        """Read until nobody watches or the build has ended, and then call `on_end`."""
        self._tasks = [asyncio.create_task(self._run(on_end)), asyncio.create_task(self._keep_alive())]

    def stop(self) -> None:
        """End the viewers' streams, without an `end` event: they reconnect."""
        self._tasks[0].cancel()

    async def _run(self, on_end: Callable[[], None]) -> None:
        end: StreamEnd = "closing"
        try:
            while self.viewers:
                await asyncio.sleep(self._poll())
                if await self._has_changed() and await self._publish_changes():
                    end = "ended"
                    return
        except Exception:
            # The viewers reconnect, and get a new reader.
            log.exception("stream.reader_failed", build=self.build_id)
        finally:
            on_end()
            self._tasks[1].cancel()
            for viewer in self.viewers:
                viewer.offer([], end)

    async def _keep_alive(self) -> None:
        """Break the silence of viewers: proxies end silent connections."""
        limit = self._streams.keep_alive
        while True:
            await asyncio.sleep(min(limit, 1.0))
            earliest = time.monotonic() - limit
            for viewer in list(self.viewers):
                if viewer.sent_at <= earliest:
                    viewer.wake()

    def _poll(self) -> float:
        return min(self._streams.poll, RUNNING_POLL) if self._is_running() else self._streams.poll

    def _is_running(self) -> bool:
        return bool(self._seen.status["status"] == Status.RUNNING)

    async def _has_changed(self) -> bool:
        """Say whether to read more; always for a queued build, whose position may have changed."""
        if not self._is_running():
            return True
        try:
            change_marker = await self._streams.read(self._streams.change_marker, self.build_id)
        except UNAVAILABLE:
            return True  # the next read reports what is wrong
        changed, self._change_marker = change_marker != self._change_marker, change_marker
        return changed

    async def _publish_changes(self) -> bool:
        """Publish what is new; return True where nothing more will come."""
        read = self._streams.read
        try:
            now = await read(self._streams.read_snapshot, self.build_id)
            # The build was read before its log: once it is final the log is complete, and goes first.
            while now is not None and self._position < now.end:
                page = await read(self._streams.read_log, self.build_id, self._position, now.status["phase"])
                await self._publish([StreamItem(chunk) for chunk in page])
                # An empty page: the log was removed meanwhile.
                self._position = page[-1].position if page else now.end
        except UNAVAILABLE as exc:
            # Viewers stay while the database restarts.
            log.warning("stream.database_unavailable", build=self.build_id, error=str(exc)[:200])
            self._change_marker = None
            return False
        if now is None:
            return True
        seen = self._seen
        if now.is_unclaimed != seen.is_unclaimed or _stable(now.status) != _stable(seen.status):
            self._seen = now
            self.status = StreamItem(now)
            await self._publish([self.status])
        return now.final

    async def _publish(self, items: Sequence[StreamItem]) -> None:
        """Offer items to all viewers, some at a time: between two batches the loop serves other connections."""
        viewers = list(self.viewers)
        for start in range(0, len(viewers), _FANOUT_BATCH):
            if start:
                await asyncio.sleep(0)
            for viewer in viewers[start : start + _FANOUT_BATCH]:
                viewer.offer(items)


def _stable(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return a status without the durations, which change all the time."""
    return {name: value for name, value in status.items() if name != "durations"}
