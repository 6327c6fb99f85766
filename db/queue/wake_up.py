"""The seam through which a builder waits for work.

The builder polls the queue in any case: a wake-up only shortens the wait, and losing one costs time, never a
build. The implementations are in `db.queue.database_wake_up`; sending belongs to whoever changes the queue.
"""

import threading
from typing import Protocol


class WakeUp(Protocol):
    """Waits until a build may be claimable."""

    def wait(self, timeout: float, stop: threading.Event) -> None:
        """Return when a build may be claimable, when `stop` is set, or after `timeout` seconds.

        Never raises for a service that does not answer; the wait then lasts at most a second.
        """

    def close(self) -> None:
        """Close the connection, if any; a later `wait` opens it again."""
