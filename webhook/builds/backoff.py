"""When a build that failed is started again by merely asking.

BinderHub's protocol starts builds by GET, and a browser's EventSource repeats the GET by itself as soon as a
stream ends. So whoever asks soon after a failure is told of that failure. The time grows with the number of
failures, because a forgotten browser tab would otherwise build for ever; `rebuild` and our own API build at once.
Pure.
"""

from datetime import datetime, timedelta

from db.status import Reason

FIRST_DELAY = timedelta(minutes=1)
LONGEST_DELAY = timedelta(hours=1)

_REBUILT_AT_ONCE = (Reason.SUPERSEDED, Reason.REF_DELETED, Reason.REPOSITORY_GONE)


def rebuild_allowed_at(finished_at: datetime, reason: Reason | None, failures: int) -> datetime:
    """Return from when on asking for a commit builds it again, the last `failures` builds of which have failed."""
    if reason in _REBUILT_AT_ONCE:
        return finished_at
    doublings = min(max(failures, 1) - 1, 10)
    return finished_at + min(FIRST_DELAY * (1 << doublings), LONGEST_DELAY)
