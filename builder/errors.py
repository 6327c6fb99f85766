"""How a build can end other than well, by who can do something about it.

    Exception
    ├── BuildError              carries cause, message and reason; never raised itself
    │   ├── UserError           the repository's owner can mend it: final, shown as it is
    │   └── InfrastructureError the admin or time can mend it: retried
    └── Stopped                 nobody's mistake: the build was taken from this worker

The worker decides by the class alone; `cause` is for counting, `message` for a person.
"""

from enum import StrEnum

from db.status import Reason


class BuildError(Exception):
    """A failed build: what to record and what to show.

    `cause` is a short code such as "package_not_found". `message` is one line that says what is
    wrong and what to do; it is shown on pages, so it holds no secret and no path of the builder.
    """

    reason: Reason

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause
        self.message = message


class UserError(BuildError):
    """The commit cannot be built as it is; trying again would fail in the same way."""

    def __init__(self, cause: str, message: str, *, reason: Reason = Reason.USER_ERROR) -> None:
        """`reason` is USER_ERROR, TIME_LIMIT or MEMORY_LIMIT."""
        super().__init__(cause, message)
        self.reason = reason


class InfrastructureError(BuildError):
    """Something around the build failed; the same commit may well be built later."""

    reason = Reason.INFRASTRUCTURE


class StopReason(StrEnum):
    """Why a running build is to stop."""

    #: The lease is gone: another worker may own the build, so nothing more is written.
    LOST = "lost"
    #: A person, a newer push or a deleted ref asked for it.
    CANCELLED = "cancelled"
    #: This worker shuts down: the build goes back to the queue and no attempt is used up.
    RELEASED = "released"


class Stopped(Exception):
    """The build was stopped from outside; `stop_reason` tells the worker what it may still write."""

    def __init__(self, stop_reason: StopReason) -> None:
        super().__init__(f"the build was stopped: {stop_reason}")
        self.stop_reason = stop_reason
