"""The words of a build's life and the moves between them, as data.

`db/queue/transitions.py` is the only code that moves a build; `TRANSITIONS` is what its statements, the constraints of
`db/models.py` and the tests are held against.
"""

from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """Who acts next on a build. The one column that decides; everything else explains."""

    QUEUED = "queued"
    """Waits for a builder, from `run_after` on. `claim` moves it on."""
    RUNNING = "running"
    """A builder holds the lease. It finishes, retries or releases; `reap` takes it when the lease ran out."""
    SUCCEEDED = "succeeded"
    """Final: the image is there."""
    FAILED = "failed"
    """Final: `reason` says whose fault, `message` says why in one line."""
    CANCELLED = "cancelled"
    """Final: not wanted any more; not a failure."""


class Reason(StrEnum):
    """Why a build failed or was cancelled. Set exactly then."""

    USER_ERROR = "user_error"
    """The repository cannot be built as it is; trying again would not help."""
    TIME_LIMIT = "time_limit"
    """The total or the idle time limit ended it."""
    MEMORY_LIMIT = "memory_limit"
    """A step was killed for its memory."""
    INFRASTRUCTURE = "infrastructure"
    """Engine, registry, network or disk; all attempts are used up."""
    LOST = "lost"
    """Builders died or were cut off until no attempt was left."""
    REQUESTED = "requested"
    """A person cancelled it."""
    SUPERSEDED = "superseded"
    """A newer push to the same ref took its place while it was queued."""
    REF_DELETED = "ref_deleted"
    """Its branch or tag was deleted while it was queued."""
    REPOSITORY_GONE = "repository_gone"
    """Its repository was deleted while it was queued."""


class Phase(StrEnum):
    """What a running build is doing, for display; it never decides anything."""

    FETCHING = "fetching"
    BUILDING = "building"
    PUSHING = "pushing"


class Trigger(StrEnum):
    """Who asked for a build first."""

    PUSH = "push"
    """A GitHub delivery."""
    LAUNCH = "launch"
    """A person in the hub's launcher, who waits."""
    MANUAL = "manual"
    """The API or the command line."""


class EnqueueOutcome(StrEnum):
    """What `enqueue` did with a wish."""

    QUEUED = "queued"
    """A new build waits."""
    JOINED = "joined"
    """A build of the same commit and recipe is active already; this wish shares it."""
    EXISTS = "exists"
    """The image is there: nothing to build."""


class HeartbeatResult(StrEnum):
    """The answer to a builder's heartbeat."""

    CONTINUE = "go_on"
    CANCEL = "cancel"
    """Somebody asked for the build to be cancelled; the lease still holds."""
    LOST = "lost"
    """The build is somebody else's now: kill the work and write nothing more."""


class CancelResult(StrEnum):
    """The answer to a wish to cancel."""

    DONE = "cancelled"
    REQUESTED = "requested"
    """It runs: its builder stops it within a heartbeat, unless somebody wishes for it meanwhile."""
    TOO_LATE = "too_late"
    """It was final already."""


class Priority:
    """Smaller goes first; within one priority, the older build."""

    INTERACTIVE = 10
    """Somebody sits in front of it."""
    PUSH = 20
    OVERTAKEN = 30
    """A push that a newer push to the same ref has overtaken."""


class Lease(NamedTuple):
    """What a worker holds of a build: the proof that its statements still count."""

    build_id: int
    attempt: int


ACTIVE = (Status.QUEUED, Status.RUNNING)
FINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)

TRANSITIONS: frozenset[tuple[Status | None, Status]] = frozenset(
    {
        (None, Status.QUEUED),  # enqueue
        (Status.QUEUED, Status.RUNNING),  # claim
        (Status.QUEUED, Status.CANCELLED),  # cancel, supersede, its ref or repository deleted
        (Status.RUNNING, Status.SUCCEEDED),  # finish
        (Status.RUNNING, Status.FAILED),  # finish, retry and reap without an attempt left
        (Status.RUNNING, Status.CANCELLED),  # release, retry or reap after a cancel request
        (Status.RUNNING, Status.QUEUED),  # retry, release, reap with an attempt left
    }
)
