"""Deliver the reports in the outbox, one thread for each channel, independently of builds.

A slow or unavailable receiver delays its own channel only. Every builder runs this; each report is delivered by
one of them (see `db.queue.outbox.claim`). What cannot be delivered now is retried for a day; what can never be
delivered is kept with the reason.
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from builder.lease_keeper import write_within_lease
from builder.reports.notifier import Notifier, PermanentNotifyError, TransientNotifyError
from db.database import Database
from db.models import Build
from db.queue import outbox
from db.queue.outbox import ReportLease
from db.records import builds
from db.report_model import Report

log = structlog.get_logger()

_NOW = partial(datetime.now, UTC)
_POLL = 1.0  # seconds between two polls of an empty outbox
_BACK_OFF = 5.0  # seconds between two tries of a database that does not answer
_STOP_TIMEOUT = 5.0  # seconds that the threads get to end
_MAX_WAIT = timedelta(hours=2)  # GitHub's limits apply to an hour
_OUTAGE_PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 10, 30, 60, 300))


class ReportDispatcher:
    """Delivers reports while its block runs."""

    def __init__(self, notifiers: Mapping[str, Notifier], database: Database) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=ChannelDispatcher(channel, notifier, database).drain,
                args=(self._stop,),
                name=f"report-{channel}",
                daemon=True,
            )
            for channel, notifier in notifiers.items()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        # A thread that hangs is abandoned: its report is delivered again when the lease has expired.
        until = time.monotonic() + _STOP_TIMEOUT
        for thread in self._threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))


def _requested_wait(exc: TransientNotifyError) -> timedelta:
    """Return how long the receiver asks to wait, capped, since it may ask for anything."""
    return min(timedelta(seconds=exc.wait or 0), _MAX_WAIT)


class ChannelDispatcher:
    """Delivers the reports of one channel."""

    def __init__(
        self,
        channel: str,
        notifier: Notifier,
        database: Database,
        clock: Callable[[], datetime] = _NOW,
    ) -> None:
        self._channel = channel
        self._notifier = notifier
        self._database = database
        self._clock = clock
        self._blocked_scopes: dict[str, datetime] = {}
        self._outages = 0
        self._log = log.bind(channel=channel)

    def drain(self, stop: threading.Event) -> None:
        """Deliver what is due until `stop` is set."""
        while not stop.is_set():
            try:
                if not self.dispatch_next():
                    stop.wait(_POLL)
            except SQLAlchemyError as exc:
                self._log.warning("report.database_unavailable", error=type(exc).__name__)
                stop.wait(_BACK_OFF)
            except Exception:
                # A bug must not end the channel; the report is retried when its lease has expired.
                self._log.exception("report.crashed")
                stop.wait(_BACK_OFF)

    def dispatch_next(self) -> bool:
        """Deliver or reschedule the next report; return False if none is due or the channel is blocked."""
        now = self._clock()
        if self._blocked_until("", now):
            return False
        with self._database.read() as session:
            if not outbox.is_due(session, self._channel, now=now):
                return False
        with self._database.write() as session:
            report = outbox.claim(session, self._channel, now=now)
            build = None if report is None else builds.get(session, report.build_id)
        if report is None or build is None:
            return False
        lease = ReportLease(report.id, report.tries)
        if until := self._blocked_until(self._notifier.scope(build), now):
            self._store_outcome(
                lambda session: outbox.reschedule(session, lease, "the receiver limits requests", until=until)
            )
        else:
            self._notify(report, build, lease)
        return True

    def _notify(self, report: Report, build: Build, lease: ReportLease) -> None:
        about = {"build": build.id, "repository": build.repository.full_name, "status": report.status.value}
        try:
            self._notifier.notify(report, build)
        except TransientNotifyError as exc:
            self._reschedule(report, lease, exc, about)
        except PermanentNotifyError as exc:
            self._log.warning("report.rejected", error=str(exc), **about)
            self._give_up(lease, str(exc))
        else:
            self._outages = 0
            self._log.info("report.delivered", tries=report.tries, **about)
            self._store_outcome(lambda session: outbox.mark_delivered(session, lease, now=self._clock()))

    def _reschedule(
        self, report: Report, lease: ReportLease, exc: TransientNotifyError, about: Mapping[str, object]
    ) -> None:
        now = self._clock()
        if now - report.created_at > outbox.GIVE_UP_AFTER:
            self._log.warning("report.gave_up", error=str(exc), **about)
            self._give_up(lease, f"failed for a day: {exc}")
            return
        delay = outbox.RETRY_DELAYS[min(report.tries, len(outbox.RETRY_DELAYS)) - 1]
        delay = max(delay, _requested_wait(exc))
        if exc.blocks_scope is not None:
            self._blocked_scopes[exc.blocks_scope] = now + self._pause(exc)
        self._log.warning("report.rescheduled", error=str(exc), seconds=delay.total_seconds(), **about)
        self._store_outcome(lambda session: outbox.reschedule(session, lease, str(exc), until=now + delay))

    def _pause(self, exc: TransientNotifyError) -> timedelta:
        """Return how long the scope stays blocked, so that not every report has to discover an outage."""
        if exc.wait is not None:
            return max(_OUTAGE_PAUSES[0], _requested_wait(exc))
        self._outages += 1
        return _OUTAGE_PAUSES[min(self._outages, len(_OUTAGE_PAUSES)) - 1]

    def _blocked_until(self, scope: str, now: datetime) -> datetime | None:
        until = self._blocked_scopes.get(scope)
        if until is not None and until <= now:
            del self._blocked_scopes[scope]
            return None
        return until

    def _give_up(self, lease: ReportLease, error: str) -> None:
        self._store_outcome(lambda session: outbox.give_up(session, lease, error, now=self._clock()))

    def _store_outcome(self, write: Callable[[Session], bool]) -> None:
        """Store an outcome while no other builder may claim the report, which would deliver it twice."""
        write_within_lease(self._database, write, outbox.LEASE_LENGTH, self._log)
