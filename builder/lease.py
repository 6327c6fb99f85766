"""Keeping a claimed build ours, and learning when it is not: "lost" and "cancel" as one stop signal.

The heartbeat is a thread of the worker, never part of the build, so a build that hangs is still ours to stop.
"""

import threading
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

from builder.child_process import StopSignal
from builder.errors import StopReason
from db.database import Database
from db.queue import transitions
from db.queue.transitions import LEASE_LENGTH
from db.records import builds
from db.status import HeartbeatResult, Lease

log = structlog.get_logger()

HEARTBEAT = LEASE_LENGTH.total_seconds() / 3
"""Seconds between two heartbeats."""

_CANCEL_POLL = 1.0
"""Seconds between two looks for a cancel request: a person who pressed Cancel watches."""


class LeaseKeeper:
    """While its block runs, the lease is extended; `stop` is set when it is lost or the build cancelled."""

    def __init__(self, database: Database, lease: Lease, stop: StopSignal) -> None:
        self._database = database
        self._lease = lease
        self._stop = stop
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep_lease, name=f"lease-{lease.build_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(timeout=60)

    def _keep_lease(self) -> None:
        beaten_at = time.monotonic()
        while not self._done.wait(_CANCEL_POLL):
            due = time.monotonic() - beaten_at >= HEARTBEAT
            try:
                beat = self._heartbeat() if due else self._check_cancelled()
            except SQLAlchemyError as exc:
                log.warning("lease.database_unavailable", build=self._lease.build_id, error=str(exc)[:200])
                # Nobody else may take the build before the lease has run out; after that, somebody may have.
                if time.monotonic() - beaten_at >= LEASE_LENGTH.total_seconds():
                    self._stop.set(StopReason.LOST)
                continue
            if due:
                beaten_at = time.monotonic()
            if beat is HeartbeatResult.LOST:
                self._stop.set(StopReason.LOST)
            elif beat is HeartbeatResult.CANCEL:
                self._stop.set(StopReason.CANCELLED)

    def _heartbeat(self) -> HeartbeatResult:
        with self._database.write() as session:
            return transitions.heartbeat(session, self._lease, now=datetime.now(UTC))

    def _check_cancelled(self) -> HeartbeatResult:
        with self._database.read() as session:
            return builds.cancel_requested(session, self._lease.build_id)
