"""Waiting for what happens in another thread or process."""

import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], object], limit: float = 60, explain: Callable[[], str] | None = None
) -> None:
    """Return when the condition holds.

    Raises AssertionError, with what `explain` returns, if it does not within `limit` seconds.
    """
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, explain() if explain else "the condition was not met in time"
        time.sleep(0.02)
