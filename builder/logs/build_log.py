"""A build's log on its way into the database: masked, gathered into chunks, sent in the background.

The build never waits for the database. A chunk that could not be stored is sent again; its number makes that
harmless.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

from builder.logs.output import Chunker, Masker
from db.database import Database
from db.records import logs
from db.status import Lease

log = structlog.get_logger()

_FLUSH_EVERY = 0.25  # seconds
_GIVE_UP_AFTER = 30.0  # seconds that the end of a log is tried for


class BuildLog:
    """Lines in, from any thread; chunks out. `on_lost` is called when the lease is found to be lost."""

    def __init__(self, database: Database, lease: Lease, masker: Masker, on_lost: Callable[[], None]) -> None:
        self._database = database
        self._lease = lease
        self._masker = masker
        self._on_lost = on_lost
        self._chunker = Chunker()
        self._ready: list[str] = []
        self._sent = 0
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name=f"log-{lease.build_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send what is left, for half a minute at most."""
        with self._lock:
            self._ready += self._chunker.close()
        self._done.set()
        self._thread.join(timeout=2 * _GIVE_UP_AFTER)

    def write(self, text: str) -> None:
        """Add a line, or several; they are masked here."""
        now = time.monotonic()
        with self._lock:
            for line in text.split("\n"):
                self._ready += self._chunker.add(self._masker.mask(line), now)

    def _send_all(self) -> None:
        give_up_at = None
        while True:
            over = self._done.wait(_FLUSH_EVERY)
            sent = self._send()
            if over and give_up_at is None:
                give_up_at = time.monotonic() + _GIVE_UP_AFTER
            if over and (sent or time.monotonic() > (give_up_at or 0)):
                return
            if not sent and over:
                time.sleep(_FLUSH_EVERY)

    def _send(self) -> bool:
        """Store what is ready; True where nothing is left to send."""
        with self._lock:
            self._ready += self._chunker.due(time.monotonic())
            batch = list(self._ready)
        if not batch:
            return True
        try:
            with self._database.write() as session:
                held = logs.append(
                    session, self._lease, first_seq=self._sent + 1, texts=batch, now=datetime.now(UTC)
                )
        except SQLAlchemyError as exc:
            log.warning("log.not_stored", build=self._lease.build_id, error=str(exc)[:200])
            return False
        if not held:
            self._on_lost()
        self._sent += len(batch)
        with self._lock:
            del self._ready[: len(batch)]
            return not self._ready
