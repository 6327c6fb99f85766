"""Record that this builder is alive, for the list of builders that admins see. Nothing else depends on it."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.database import Database
from db.records import builders

log = structlog.get_logger()


class Presence:
    """Announces this builder from time to time; skips a database that does not answer.

    `name` is unique to the process. It `replaces` killed processes, whose records are removed.
    """

    def __init__(self, name: str, slots: int, database: Database, *, replaces: Sequence[str] = ()) -> None:
        self._name = name
        self._replaces = replaces
        self._slots = slots
        self._database = database
        self._started_at = datetime.now(UTC)
        self._announced_at = float("-inf")

    def announce(self) -> None:
        """Record that the builder is alive, at most once every `PRESENCE_INTERVAL` seconds."""
        if time.monotonic() - self._announced_at < builders.PRESENCE_INTERVAL:
            return
        self._announced_at = time.monotonic()
        try:
            with self._database.write() as session:
                for killed in self._replaces:
                    builders.remove(session, killed)
                builders.record_presence(
                    session,
                    name=self._name,
                    slots=self._slots,
                    version=version("repo2hub"),
                    started_at=self._started_at,
                    now=datetime.now(UTC),
                )
            self._replaces = ()
        except SQLAlchemyError as exc:
            log.warning("presence.not_announced", error=str(exc)[:200])

    def leave(self) -> None:
        """Remove the record: the builder was stopped."""
        try:
            with self._database.write() as session:
                builders.remove(session, self._name)
        except SQLAlchemyError as exc:
            log.warning("presence.not_removed", error=str(exc)[:200])
