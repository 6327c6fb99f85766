"""The worker's sign of life, so that admins see which builders there are. Nothing depends on it."""

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
    """Says, no oftener than needed, that this worker lives; a database that is away is waited out.

    `name` is the worker's alone: another process on its host has another one. Those that it `replaces` are gone.
    """

    def __init__(self, name: str, slots: int, database: Database, *, replaces: Sequence[str] = ()) -> None:
        self._name = name
        self._replaces = replaces
        self._slots = slots
        self._database = database
        self._started_at = datetime.now(UTC)
        self._announced_at = float("-inf")

    def say(self) -> None:
        """Note that the worker lives, if that was long enough ago."""
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
            log.warning("presence.not_said", error=str(exc)[:200])

    def leave(self) -> None:
        """Note that the worker was stopped as it should be."""
        try:
            with self._database.write() as session:
                builders.remove(session, self._name)
        except SQLAlchemyError as exc:
            log.warning("presence.not_left", error=str(exc)[:200])
