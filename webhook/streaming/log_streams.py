"""Following the logs of builds, for many viewers at once.

One tailer per build reads the database and hands what is new to the build's viewers. A viewer costs a thread of
the server, so their number is capped well below the number of threads: an ordinary request, a delivery above
all, always finds one.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db.database import Database
from db.models import Build
from db.records import builds, logs
from db.records.logs import Position
from db.status import FINAL, Status
from webhook.access.concurrency_limit import ConcurrencyLimit
from webhook.access.permissions import User, may_see
from webhook.streaming.connection import Connection
from webhook.streaming.events import API, BuildSnapshot, LogChunk, StreamEnd, StreamFormat, StreamItem
from webhook.streaming.viewer import Viewer

QUEUED_POLL = 0.25
"""Seconds between two looks at a build that waits and is watched."""
RUNNING_POLL = 0.05
"""Seconds between two glances at one that runs, each a single small read that says whether to look."""
_FANOUT_BATCH = 50  # viewers that are handed something at once
FANOUT_PAUSE = 0.001
"""Seconds between two such slices, for whatever else the process has to do."""
NO_BUILDER = timedelta(seconds=30)
"""How long a build may be due, with nothing running, before its viewers are told that there may be no builder."""
KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment is sent: proxies end silent streams, and only a write tells that a
viewer is gone."""
_PAGE = 100
_MAX_NAMED_BUILDS = 3  # running builds that somebody in the queue is told of

log = structlog.get_logger()


class _Tailer(threading.Thread):
    """Reads one build for as long as somebody watches it."""

    def __init__(self, streams: "LogStreams", build_id: int, seen: BuildSnapshot) -> None:
        super().__init__(name=f"tail-{build_id}", daemon=True)
        self._streams = streams
        self.build_id = build_id
        self._seen = seen
        self._position = seen.end
        self._change_marker: object = None
        self.viewers: list[Viewer] = []
        self.status = StreamItem(seen)

    def run(self) -> None:
        over: StreamEnd = "closing"
        try:
            while self._streams.is_watched(self) and not self._streams.closing.wait(self._pause()):
                if self._has_changed() and self._publish_changes():
                    over = "ended"
                    return
        except Exception:
            # The viewers are let go, and come back by themselves.
            log.exception("stream.tailer_failed", build=self.build_id)
        finally:
            for viewer in self._streams.remove_tailer(self):
                viewer.offer([], over)

    def _pause(self) -> float:
        return min(self._streams.poll, RUNNING_POLL) if self._is_running() else self._streams.poll

    def _is_running(self) -> bool:
        return bool(self._seen.status["status"] == Status.RUNNING)

    def _has_changed(self) -> bool:
        """Say whether a closer look is worth while; always for a build that waits, since its place may change."""
        if not self._is_running():
            return True
        try:
            change_marker = self._streams.change_marker(self.build_id)
        except OperationalError:
            return True  # and the look says what is wrong
        changed, self._change_marker = change_marker != self._change_marker, change_marker
        return changed

    def _publish_changes(self) -> bool:
        """Hand over what is new; True where nothing more will come."""
        try:
            now = self._streams.read_snapshot(self.build_id)
            # The build was read before its log: once it is final the log is whole, and goes first.
            while now is not None and self._position < now.end:
                page = self._streams.read_log(self.build_id, self._position, now.status["phase"])
                self._publish([StreamItem(chunk) for chunk in page])
                # An empty page: the log was cleaned up meanwhile.
                self._position = page[-1].position if page else now.end
        except OperationalError as exc:
            # A database that restarts is no reason to send the viewers away.
            log.warning("stream.database_away", build=self.build_id, error=str(exc.orig))
            self._change_marker = None
            return False
        if now is None:
            return True
        seen = self._seen
        if now.is_unclaimed != seen.is_unclaimed or _without_durations(now.status) != _without_durations(
            seen.status
        ):
            self._seen = now
            self.status = StreamItem(now)
            self._publish([self.status])
        return now.final

    def _publish(self, items: Sequence[StreamItem]) -> None:
        """Hand something to all, some at a time: a delivery that needs this process gets its turn in between."""
        viewers = self._streams.viewers_of(self)
        for start in range(0, len(viewers), _FANOUT_BATCH):
            if start and self._streams.pause:
                time.sleep(self._streams.pause)
            for viewer in viewers[start : start + _FANOUT_BATCH]:
                viewer.offer(items)


def _without_durations(status: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in status.items() if name != "durations"}


class LogStreams:
    """All open streams of this process. `render` says what a `status` event shows of a build."""

    def __init__(
        self,
        database: Database,
        render: Callable[[Session, Build, datetime], Mapping[str, Any]],
        clock: Callable[[], datetime],
        concurrency: ConcurrencyLimit,
        *,
        poll: float = QUEUED_POLL,
        pause: float = FANOUT_PAUSE,
        keep_alive: float = KEEP_ALIVE,
    ) -> None:
        self._database = database
        self._render = render
        self._clock = clock
        self._concurrency = concurrency
        self.poll = poll
        self.pause = pause
        self.keep_alive = keep_alive
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[object, User] = {}  # by viewer, or by what stands for one who reads a log as text
        self._tailers: dict[int, _Tailer] = {}

    @property
    def limit(self) -> int:
        """How many viewers there may be."""
        return self._concurrency.limit

    @property
    def open_count(self) -> int:
        """How many viewers there are."""
        return len(self._open)

    def open(
        self,
        build_id: int,
        after: Position | None,
        user: User,
        form: StreamFormat = API,
        connection: Connection | None = None,
    ) -> Viewer | None:
        """Return a viewer of a build's log, by default from its newest attempt on; None for an unknown build.

        Raises LimitReached where there is no place for this person. The caller sees to it that `leave` is
        called. `connection`, where there is one, may be sent to as soon as the viewer's first events are.
        """
        seen = self.read_snapshot(build_id)
        if seen is None:
            return None
        viewer = Viewer(
            Position(seen.end.attempt, 0) if after is None else after,
            read_log=lambda position: self._items(build_id, position, seen),
            on_leave=lambda viewer: self._detach(build_id, viewer),
            keep_alive=self.keep_alive,
            form=form,
            connection=connection,
        )
        with self._lock:
            self._concurrency.acquire(user)
            try:
                self._attach(viewer, build_id, seen)
            except RuntimeError:  # no thread is to be had
                self._concurrency.release(user)
                raise
            self._open[viewer] = user
        return viewer

    def reserve(self, user: User) -> Callable[[], None]:
        """Take the place of a viewer for who reads a log as text, and return what gives it back.

        Raises LimitReached where there is none for this person.
        """
        reader = object()
        with self._lock:
            self._concurrency.acquire(user)
            self._open[reader] = user
        return lambda: self._free(reader)

    def _free(self, viewer: object) -> None:
        with self._lock:
            user = self._open.pop(viewer, None)
            if user is not None:
                self._concurrency.release(user)

    def _attach(self, viewer: Viewer, build_id: int, seen: BuildSnapshot) -> None:
        """Tell a viewer all at once where the build has ended, else let it hear of what comes."""
        if seen.final:
            viewer.offer([StreamItem(seen)], "ended")
            return
        tailer = self._tailers.get(build_id)
        if tailer is None:
            tailer = _Tailer(self, build_id, seen)
            tailer.start()  # it waits for the lock
            self._tailers[build_id] = tailer
        tailer.viewers.append(viewer)
        viewer.first = tailer.status

    def close(self) -> None:
        """End all streams within a poll, without an `end`: the viewers come back to whoever serves next."""
        self.closing.set()

    def _detach(self, build_id: int, viewer: Viewer) -> None:
        self._free(viewer)
        with self._lock:
            tailer = self._tailers.get(build_id)
            if tailer is not None and viewer in tailer.viewers:
                tailer.viewers.remove(viewer)

    def is_watched(self, tailer: _Tailer) -> bool:
        """Say whether a tailer still has viewers; if not, its place is free for the next at once."""
        with self._lock:
            if not tailer.viewers:
                self._tailers.pop(tailer.build_id, None)
            return bool(tailer.viewers)

    def viewers_of(self, tailer: _Tailer) -> list[Viewer]:
        with self._lock:
            return list(tailer.viewers)

    def remove_tailer(self, tailer: _Tailer) -> list[Viewer]:
        """Take a tailer out, and return the viewers that it leaves behind."""
        with self._lock:
            if self._tailers.get(tailer.build_id) is tailer:
                del self._tailers[tailer.build_id]
            left, tailer.viewers = tailer.viewers, []
            return left

    def change_marker(self, build_id: int) -> object:
        """Return what differs from the last time as soon as a running build or its log has changed."""
        with self._database.read() as session:
            return builds.change_marker(session, build_id)

    def read_snapshot(self, build_id: int) -> BuildSnapshot | None:
        """Read a build as it is now, or None."""
        with self._database.read() as session:
            build = builds.get(session, build_id)
            if build is None:
                return None
            final = build.status in FINAL
            status = self._render(session, build, self._clock())
            waits = build.status is Status.QUEUED
            running = _running(session) if waits else ()
            due = max(build.created_at, build.run_after) + NO_BUILDER
            is_unclaimed = waits and not running and self._clock() > due
            return BuildSnapshot(status, final, logs.last_position(session, build_id), running, is_unclaimed)

    def read_log(self, build_id: int, after: Position, phase: str | None) -> list[LogChunk]:
        """Read the log after a position, a page of it, which is taken to be of that phase."""
        with self._database.read() as session:
            page = logs.read(session, build_id, after=after, limit=_PAGE)
        return [LogChunk(at, text, phase) for at, text in page]

    def _items(self, build_id: int, after: Position, seen: BuildSnapshot) -> list[StreamItem]:
        return [StreamItem(chunk) for chunk in self.read_log(build_id, after, seen.status["phase"])]


def _running(session: Session) -> tuple[str, ...]:
    """Name what runs; of what is not for everybody no more than that there is something."""
    found = (build.repository for build in builds.list_running(session, _MAX_NAMED_BUILDS))
    return tuple(one.full_name if may_see(None, one) else "another repository" for one in found)
