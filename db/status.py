"""The statuses of builds and the transitions between them, as data.

Only `db.queue` changes the status of builds. Tests check its statements and the constraints of `db.models` against
`TRANSITIONS`.
"""

from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """The status of a build. It alone determines what happens next; other fields only explain it."""

    QUEUED = "queued"
    """Waits until `run_after` for a builder to `claim` it."""
    RUNNING = "running"
    """A builder holds the lease and will finish, retry or release it. `reap` takes it when the lease expires."""
    SUCCEEDED = "succeeded"
    """Final: the image exists."""
    FAILED = "failed"
    """Final: `reason` classifies the failure, and `message` explains it in one line."""
    CANCELLED = "cancelled"
    """Final: the build is no longer needed. Not a failure."""


class Reason(StrEnum):
    """Why a build failed or was cancelled. Other builds have no reason."""

    USER_ERROR = "user_error"
    """The commit cannot be built as it is: a retry would fail in the same way."""
    TIME_LIMIT = "time_limit"
    """The build exceeded the total or the idle time limit."""
    MEMORY_LIMIT = "memory_limit"
    """A step exceeded the memory limit."""
    INFRASTRUCTURE = "infrastructure"
    """The engine, registry, network or disk failed in every attempt."""
    LOST = "lost"
    """The builder stopped responding in every attempt."""
    REQUESTED = "requested"
    """A user cancelled the build."""
    SUPERSEDED = "superseded"
    """A newer push to the same ref replaced the queued build."""
    REF_DELETED = "ref_deleted"
    """The branch or tag of the queued build was deleted."""
    REPOSITORY_GONE = "repository_gone"
    """The repository of the queued build was deleted."""


class Phase(StrEnum):
    """What a running build is doing. Only for display."""

    FETCHING = "fetching"
    BUILDING = "building"
    PUSHING = "pushing"


class Trigger(StrEnum):
    """What created a build."""

    PUSH = "push"
    """A delivery from GitHub."""
    LAUNCH = "launch"
    """A user who launches a server in the hub and waits for the image."""
    MANUAL = "manual"
    """A request to the API or on the command line."""


class EnqueueOutcome(StrEnum):
    """What `enqueue` did with a request."""

    QUEUED = "queued"
    """A new build was queued."""
    JOINED = "joined"
    """The request joined an active build of the same commit and recipe."""
    EXISTS = "exists"
    """The image exists, so nothing was queued."""


class HeartbeatResult(StrEnum):
    """What a builder must do after a heartbeat."""

    CONTINUE = "continue"
    CANCEL = "cancel"
    """The build has a cancel request. The builder still holds the lease."""
    LOST = "lost"
    """The builder lost its lease: stop and write nothing."""


class CancelResult(StrEnum):
    """What `cancel` did with a build."""

    DONE = "cancelled"
    REQUESTED = "requested"
    """The build is running. Its builder stops it at the next heartbeat, unless a new request joins the build."""
    TOO_LATE = "too_late"
    """The build had already ended."""


class Priority:
    """The order of queued builds: smaller numbers first, then older builds first."""

    INTERACTIVE = 10
    """A user is waiting for the image."""
    PUSH = 20
    OVERTAKEN = 30
    """A newer push to the same ref has overtaken this push."""


class Lease(NamedTuple):
    """Proof that a builder owns a build: its updates apply only while `attempt` is unchanged."""

    build_id: int
    attempt: int


ACTIVE = (Status.QUEUED, Status.RUNNING)
FINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)

TRANSITIONS: frozenset[tuple[Status | None, Status]] = frozenset(
    {
        (None, Status.QUEUED),  # enqueue
        (Status.QUEUED, Status.RUNNING),  # claim
        (Status.QUEUED, Status.CANCELLED),  # cancel, supersede, cancel_ref, cancel_repository
        (Status.RUNNING, Status.SUCCEEDED),  # finish
        (Status.RUNNING, Status.FAILED),  # finish, or retry and reap without an attempt left
        (Status.RUNNING, Status.CANCELLED),  # release, or retry and reap after a cancel request
        (Status.RUNNING, Status.QUEUED),  # release, or retry and reap with an attempt left
    }
)
