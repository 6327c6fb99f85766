"""Delay repeated builds of a commit that failed, for clients that retry by themselves. Pure.

BinderHub's protocol starts builds by GET, and a browser's EventSource repeats the GET as soon as a stream
ends. So a request soon after a failure gets the log of that failure instead of a new build. The delay doubles
with each failure, or a forgotten browser tab would build forever. Our own API and `rebuild` build without a
delay.
"""

from datetime import datetime, timedelta

from db.status import Reason

FIRST_DELAY = timedelta(minutes=1)
LONGEST_DELAY = timedelta(hours=1)

_REBUILT_AT_ONCE = (Reason.SUPERSEDED, Reason.REF_DELETED, Reason.REPOSITORY_GONE)


def rebuild_allowed_at(finished_at: datetime, reason: Reason | None, failures: int) -> datetime:
    """Return when a GET may build a commit again whose last `failures` builds have failed."""
    if reason in _REBUILT_AT_ONCE:
        return finished_at
    doublings = min(max(failures, 1) - 1, 10)
    return finished_at + min(FIRST_DELAY * (1 << doublings), LONGEST_DELAY)
