"""Store a build's log while it runs: mask lines, gather them into chunks, append them in the background.

The build never waits for the store. A chunk that was not stored is sent again under the same number, so none is
stored twice.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import structlog

from builder.logs.chunks import Chunker
from builder.logs.masking import Masker
from db.log_store import LogStore, LogStoreUnavailable
from db.status import Lease

log = structlog.get_logger()

_FLUSH_INTERVAL = 0.25  # seconds
_GIVE_UP_AFTER = 30.0  # seconds for storing the end of a log


class BuildLog:
    """Takes lines from any thread and stores them in order.

    Calls `on_lost` when the store reports that the lease is lost.
    """

    def __init__(
        self, log_store: LogStore, lease: Lease, masker: Masker, on_lost: Callable[[], None]
    ) -> None:
        self._log_store = log_store
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
        """Send the rest; give up after half a minute."""
        with self._lock:
            self._ready += self._chunker.close()
        self._done.set()
        self._thread.join(timeout=2 * _GIVE_UP_AFTER)

    def write(self, text: str) -> None:
        """Mask and add one or several lines."""
        now = time.monotonic()
        with self._lock:
            for line in text.split("\n"):
                self._ready += self._chunker.add(self._masker.mask(line), now)

    def _send_all(self) -> None:
        give_up_at = None
        while True:
            is_over = self._done.wait(_FLUSH_INTERVAL)
            is_sent = self._send()
            if is_over and give_up_at is None:
                give_up_at = time.monotonic() + _GIVE_UP_AFTER
            if is_over and (is_sent or time.monotonic() > (give_up_at or 0)):
                return
            if not is_sent and is_over:
                time.sleep(_FLUSH_INTERVAL)

    def _send(self) -> bool:
        """Store the chunks that are ready; return whether nothing is left to send."""
        with self._lock:
            self._ready += self._chunker.due(time.monotonic())
            batch = list(self._ready)
        if not batch:
            return True
        try:
            is_held = self._log_store.append(
                self._lease, first_seq=self._sent + 1, texts=batch, now=datetime.now(UTC)
            )
        except LogStoreUnavailable as exc:
            log.warning("log.not_stored", build=self._lease.build_id, error=str(exc)[:200])
            return False
        if not is_held:
            self._on_lost()
        self._sent += len(batch)
        with self._lock:
            del self._ready[: len(batch)]
            return not self._ready
