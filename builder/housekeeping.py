"""Removing the records that nobody needs any more: reports told long ago, builders that fell silent.

Every builder does it for all, whatever it tells itself: reports come into being wherever somebody is to be told by
the settings, which may be the web host's alone.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.database import Database
from db.queue import outbox
from db.records import builders

log = structlog.get_logger()

_INTERVAL = 3600.0  # seconds
_BACKLOG_INTERVAL = 60.0  # seconds, where there is more than one transaction should remove


def _now() -> datetime:
    return datetime.now(UTC)


class Housekeeping:
    """Cleans up, no oftener than needed, from its first call on; a database that is away is waited out."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = _now) -> None:
        self._database = database
        self._clock = clock
        self._due_at = float("-inf")

    def clean_up(self) -> None:
        """Remove what is old, if that was done long enough ago: a bounded piece, so as not to hold up a build."""
        if time.monotonic() < self._due_at:
            return
        self._due_at = time.monotonic() + _INTERVAL
        try:
            with self._database.write() as session:
                builders.remove_silent(session, now=self._clock())
                removed = outbox.remove_settled(session, now=self._clock())
        except SQLAlchemyError as exc:
            log.warning("housekeeping.not_done", error=str(exc)[:200])
            return
        if removed == outbox.BATCH:
            self._due_at = time.monotonic() + _BACKLOG_INTERVAL
