"""Telling others what became of builds: the outbox is drained, one thread for each channel, away from every build.

A receiver that is slow or away holds up its own channel and nobody else. Every builder does this; a report is told
by one of them (`db.queue.outbox.claim`). What cannot be told now is told later, for a day; what cannot be told at all is
kept with its reason.
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Protocol, Self

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from base.report_channels import GITHUB_STATUS, notification_channel
from builder.reports.github_status import GitHubStatusNotifier
from builder.reports.http_client import HttpClient, PermanentNotifyError, TransientNotifyError
from builder.reports.notification import UrlNotifier
from builder.settings import BuilderSettings
from db.database import Database
from db.models import Build
from db.queue import outbox
from db.queue.outbox import ReportLease
from db.records import builds
from db.report_model import Report

log = structlog.get_logger()

_POLL = 1.0  # seconds between two looks at an empty outbox
_BACK_OFF = 5.0  # seconds without asking a database that does not answer
_MAX_WAIT = timedelta(hours=2)  # GitHub's limits are an hour's
_OUTAGE_PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 10, 30, 60, 300))


class Notifier(Protocol):
    """Whoever tells one channel."""

    def scope(self, build: Build) -> str:
        """Return what is held up together with this build's reports."""

    def notify(self, report: Report, build: Build) -> None:
        """Tell it, or raise `builder.reports.http_client.TellingFailed`. It may have been told before."""


def notifiers(settings: BuilderSettings, clock: Callable[[], datetime]) -> Mapping[str, Notifier]:
    """Return who tells each channel of these settings."""
    found: dict[str, Notifier] = {}
    if GITHUB_STATUS in settings.channels:
        found[GITHUB_STATUS] = GitHubStatusNotifier(settings, HttpClient(settings.extra_ca_certs), clock)
    secret = settings.notify_secret.get_secret_value() if settings.notify_secret else ""
    for url in (one.get_secret_value() for one in settings.notify_urls):
        notifier = UrlNotifier(url, secret, settings.public_url, HttpClient(settings.extra_ca_certs))
        found[notification_channel(url)] = notifier
    return found


class ReportDispatcher:
    """While its block runs, what is in the outbox is told."""

    def __init__(self, settings: BuilderSettings, database: Database) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=ChannelDispatcher(channel, notifier, database).drain,
                args=(self._stop,),
                name=f"report-{channel}",
                daemon=True,
            )
            for channel, notifier in notifiers(settings, _now).items()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        # One that hangs is left behind: what it tells is told again by somebody else, once its lease is over.
        until = time.monotonic() + 5
        for thread in self._threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))


def _requested_wait(exc: TransientNotifyError) -> timedelta:
    """Return how long we are asked to wait, within reason: the other side may say anything."""
    return min(timedelta(seconds=exc.wait or 0), _MAX_WAIT)


def _now() -> datetime:
    return datetime.now(UTC)


class ChannelDispatcher:
    """One channel of the outbox, told by one teller."""

    def __init__(
        self, name: str, notifier: Notifier, database: Database, clock: Callable[[], datetime] = _now
    ) -> None:
        self._name = name
        self._notifier = notifier
        self._database = database
        self._clock = clock
        self._blocked_scopes: dict[str, datetime] = {}
        self._outages = 0
        self._log = log.bind(channel=name)

    def drain(self, stop: threading.Event) -> None:
        """Tell what is due until `stop` is set."""
        while not stop.is_set():
            try:
                if not self.dispatch_next():
                    stop.wait(_POLL)
            except SQLAlchemyError as exc:
                self._log.warning("report.database_unavailable", error=type(exc).__name__)
                stop.wait(_BACK_OFF)
            except Exception:
                # A bug must not end the channel; the report is tried again when its lease is over.
                self._log.exception("report.crashed")
                stop.wait(_BACK_OFF)

    def dispatch_next(self) -> bool:
        """Tell the next report, or put it off; False where nothing is due or the channel is held up."""
        now = self._clock()
        if self._blocked_until("", now):
            return False
        with self._database.read() as session:
            if not outbox.is_due(session, self._name, now=now):
                return False
        with self._database.write() as session:
            report = outbox.claim(session, self._name, now=now)
            build = None if report is None else builds.get(session, report.build_id)
        if report is None or build is None:
            return False
        telling = ReportLease(report.id, report.tries)
        if until := self._blocked_until(self._notifier.scope(build), now):
            self._store_outcome(
                lambda session: outbox.reschedule(session, telling, "GitHub limits us", until=until)
            )
        else:
            self._notify(report, build, telling)
        return True

    def _notify(self, report: Report, build: Build, telling: ReportLease) -> None:
        about = {"build": build.id, "repository": build.repository.full_name, "status": report.status.value}
        try:
            self._notifier.notify(report, build)
        except TransientNotifyError as exc:
            self._put_off(report, telling, exc, about)
        except PermanentNotifyError as exc:
            self._log.warning("report.impossible", error=str(exc), **about)
            self._give_up(telling, str(exc))
        else:
            self._outages = 0
            self._log.info("report.told", tries=report.tries, **about)
            self._store_outcome(lambda session: outbox.mark_delivered(session, telling, now=self._clock()))

    def _put_off(
        self, report: Report, telling: ReportLease, exc: TransientNotifyError, about: Mapping[str, object]
    ) -> None:
        now = self._clock()
        if now - report.created_at > outbox.GIVE_UP_AFTER:
            self._log.warning("report.gave_up", error=str(exc), **about)
            self._give_up(telling, f"for a day: {exc}")
            return
        delay = outbox.RETRY_DELAYS[min(report.tries, len(outbox.RETRY_DELAYS)) - 1]
        delay = max(delay, _requested_wait(exc))
        if exc.blocks_scope is not None:
            self._blocked_scopes[exc.blocks_scope] = now + self._pause(exc)
        self._log.warning("report.put_off", error=str(exc), seconds=delay.total_seconds(), **about)
        self._store_outcome(lambda session: outbox.reschedule(session, telling, str(exc), until=now + delay))

    def _pause(self, exc: TransientNotifyError) -> timedelta:
        """Return how long nothing else is tried: an outage is not to be learnt of anew by every report."""
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

    def _give_up(self, telling: ReportLease, error: str) -> None:
        self._store_outcome(lambda session: outbox.give_up(session, telling, error, now=self._clock()))

    def _store_outcome(self, end: Callable[[Session], bool]) -> None:
        """Write how it went, tried for as long as nobody else may take the report: else it is told twice."""
        give_up_at = time.monotonic() + outbox.LEASE_LENGTH.total_seconds()
        while True:
            try:
                with self._database.write() as session:
                    end(session)
                return
            except SQLAlchemyError as exc:
                self._log.warning("report.end_not_stored", error=type(exc).__name__)
                if time.monotonic() > give_up_at:
                    return
                time.sleep(1)
