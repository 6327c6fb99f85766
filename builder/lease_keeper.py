"""Keep the lease of a claimed build, and turn "lost" and "cancelled" into one stop signal.

The heartbeat has a thread of its own, so a build that hangs still keeps its lease and can still be stopped.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from structlog.typing import FilteringBoundLogger

from builder.child_process import StopSignal
from builder.errors import StopReason
from db.database import Database
from db.queue import transitions
from db.queue.transitions import LEASE_LENGTH
from db.records import builds
from db.status import HeartbeatResult, Lease

log = structlog.get_logger()
T = TypeVar("T")

HEARTBEAT = LEASE_LENGTH.total_seconds() / 3
"""Seconds between two heartbeats."""

_CANCEL_POLL = 1.0
"""Seconds between two checks for a cancel request: a user who pressed Cancel is watching."""

_RETRY_INTERVAL = 2.0  # seconds between two tries to store an outcome


class LeaseKeeper:
    """Extends the lease while its block runs; sets `stop` when the lease is lost or the build cancelled."""

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
        extended_at = time.monotonic()
        while not self._done.wait(_CANCEL_POLL):
            is_due = time.monotonic() - extended_at >= HEARTBEAT
            try:
                result = self._heartbeat() if is_due else self._check_cancelled()
            except SQLAlchemyError as exc:
                log.warning("lease.database_unavailable", build=self._lease.build_id, error=str(exc)[:200])
                # No other worker may take the build before the lease expires; after that, one may have.
                if time.monotonic() - extended_at >= LEASE_LENGTH.total_seconds():
                    self._stop.set(StopReason.LOST)
                continue
            if is_due:
                extended_at = time.monotonic()
            if result is HeartbeatResult.LOST:
                self._stop.set(StopReason.LOST)
            elif result is HeartbeatResult.CANCEL:
                self._stop.set(StopReason.CANCELLED)

    def _heartbeat(self) -> HeartbeatResult:
        with self._database.write() as session:
            return transitions.heartbeat(session, self._lease, now=datetime.now(UTC))

    def _check_cancelled(self) -> HeartbeatResult:
        with self._database.read() as session:
            return builds.cancel_requested(session, self._lease.build_id)


def write_within_lease(
    database: Database, write: Callable[[Session], T], length: timedelta, logger: FilteringBoundLogger
) -> T | None:
    """Store an outcome and return what `write` returned; None where the database did not answer in time.

    Tries for as long as a lease of this length can hold, since no other process knows the outcome.
    """
    until = time.monotonic() + length.total_seconds()
    while True:
        try:
            with database.write() as session:
                return write(session)
        except SQLAlchemyError as exc:
            logger.warning("lease.outcome_not_stored", error=type(exc).__name__)
        if time.monotonic() > until:
            return None
        time.sleep(_RETRY_INTERVAL)
