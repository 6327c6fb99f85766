"""Remove outdated records: reports delivered long ago, and builders that are no longer alive.

Every builder does this for all channels, whether or not it delivers reports: reports are also created by web hosts
with settings of their own.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.database import Database
from db.queue import outbox
from db.records import builders

log = structlog.get_logger()

_NOW = partial(datetime.now, UTC)
_INTERVAL = 3600.0  # seconds
_BACKLOG_INTERVAL = 60.0  # seconds, while more is left than one transaction removes


class Housekeeping:
    """Cleans up from time to time; skips a database that does not answer."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = _NOW) -> None:
        self._database = database
        self._clock = clock
        self._due_at = float("-inf")

    def clean_up(self) -> None:
        """Remove a limited number of outdated records if the last time was long enough ago."""
        if time.monotonic() < self._due_at:
            return
        self._due_at = time.monotonic() + _INTERVAL
        try:
            with self._database.write() as session:
                builders.remove_silent(session, now=self._clock())
                removed = outbox.remove_settled(session, now=self._clock())
        except SQLAlchemyError as exc:
            log.warning("housekeeping.failed", error=str(exc)[:200])
            return
        if removed == outbox.BATCH:
            self._due_at = time.monotonic() + _BACKLOG_INTERVAL
