"""The errors that end a build, by who can fix them.

    Exception
    ├── BuildError              has cause, message and reason; never raised itself
    │   ├── UserError           the repository's owner can fix it: final, shown as it is
    │   └── InfrastructureError an admin can fix it, or time: retried
    └── Stopped                 no failure: the build was taken from this worker

The worker decides by the class alone; `cause` is for metrics and advice, `message` for users.
"""

from enum import StrEnum

from db.status import Reason


class BuildError(Exception):
    """A failed build.

    `cause` is a short code such as "package_not_found". `message` is one line that says what is wrong and what to
    do; pages show it, so it has no secret and no path of the builder in it.
    """

    reason: Reason

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause
        self.message = message


class UserError(BuildError):
    """The commit cannot be built as it is; a retry would fail in the same way."""

    def __init__(self, cause: str, message: str, *, reason: Reason = Reason.USER_ERROR) -> None:
        """`reason` is USER_ERROR, TIME_LIMIT or MEMORY_LIMIT."""
        super().__init__(cause, message)
        self.reason = reason


class InfrastructureError(BuildError):
    """Something around the build failed; a retry may succeed."""

    reason = Reason.INFRASTRUCTURE


def no_space_error(where: str = "The builder") -> InfrastructureError:
    """Return the error for a full disk."""
    return InfrastructureError(
        "no_space", f"{where} has no disk space left. An admin can free some with: repo2hub prune"
    )


BOTH_BINDER_FOLDERS = "The repository has both a binder/ and a .binder/ folder. Keep one of them."
ENGINE_UNAVAILABLE = "The container engine does not respond. An admin can find out why with: repo2hub doctor"
TLS_UNTRUSTED = (
    "A server's TLS certificate is not trusted. If this network intercepts TLS, an admin sets "
    "REPO2HUB_EXTRA_CA_CERTS to its CA bundle."
)


def tls_untrusted_error() -> InfrastructureError:
    """Return the error for a certificate that is not trusted."""
    return InfrastructureError("tls_untrusted", TLS_UNTRUSTED)


class StopReason(StrEnum):
    """Why a running build has to stop."""

    LOST = "lost"
    """The lease expired: another worker may own the build, so this one writes nothing more."""
    CANCELLED = "cancelled"
    """A user, a newer push or a deleted ref cancelled it."""
    RELEASED = "released"
    """This worker shuts down: the build returns to the queue and uses up no attempt."""


class Stopped(Exception):
    """The build was stopped from outside; `stop_reason` decides what the worker may still write."""

    def __init__(self, stop_reason: StopReason) -> None:
        super().__init__(f"the build was stopped: {stop_reason}")
        self.stop_reason = stop_reason
