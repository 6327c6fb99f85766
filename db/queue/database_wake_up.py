"""Wait for work with the database alone: LISTEN on PostgreSQL, a short poll on SQLite."""

import threading
import time
from typing import Any

from sqlalchemy.exc import DBAPIError

from db.database import WORK_CHANNEL, Database
from db.queue.wake_up import WakeUp

POLL_INTERVAL = 0.2
"""Seconds between two polls of a database that cannot notify."""

_STOP_CHECK = 0.5  # seconds between two checks of `stop`


def database_wake_up(database: Database) -> WakeUp:
    """Return the wake-up that this database supports."""
    return PollingWakeUp() if database.is_sqlite else ListeningWakeUp(database)


class PollingWakeUp:
    """Returns after a short pause, whether or not there is work."""

    def wait(self, timeout: float, stop: threading.Event) -> None:
        """Pause for `POLL_INTERVAL`, or until `stop` is set."""
        stop.wait(min(timeout, POLL_INTERVAL))

    def close(self) -> None:
        """Do nothing: no connection is held."""


class ListeningWakeUp:
    """Listens for PostgreSQL's NOTIFY on a connection of its own.

    A lost connection counts as a notification. One thread waits at a time: a second one waits for the first.
    """

    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self._connection: Any = None
        self._lock = threading.Lock()

    def wait(self, timeout: float, stop: threading.Event) -> None:
        """Return at the next NOTIFY; at once when the connection was just opened."""
        with self._lock:
            try:
                self._listen(timeout, stop)
            # The driver's own error is named through SQLAlchemy, since not every host has the driver.
            except (DBAPIError, OSError, self._engine.dialect.loaded_dbapi.Error):
                self._disconnect()
                stop.wait(min(timeout, 1.0))

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._disconnect()

    def _listen(self, timeout: float, stop: threading.Event) -> None:
        if self._connection is None:
            self._connect()
            return  # builds queued before LISTEN are found by the next claim
        until = time.monotonic() + timeout
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            if list(self._connection.notifies(timeout=min(left, _STOP_CHECK), stop_after=1)):
                return

    def _connect(self) -> None:
        raw = self._engine.raw_connection()
        connection: Any = raw.driver_connection
        raw.detach()  # the pool must not hand it to somebody else
        self._connection = connection
        connection.autocommit = True
        connection.execute(f"LISTEN {WORK_CHANNEL}")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
