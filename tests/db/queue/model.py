"""A model of the build queue in plain Python, without a database, to compare `db.queue` with."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from db.queue.transitions import LEASE_LENGTH, RETRY_DELAYS
from db.status import (
    ACTIVE,
    CancelResult,
    EnqueueOutcome,
    HeartbeatResult,
    Lease,
    Priority,
    Reason,
    Status,
    Trigger,
)


@dataclass
class ModelBuild:
    """The columns of a build that transitions depend on or that users see."""

    id: int
    ref: str
    commit: str
    priority: int
    run_after: datetime
    pushed_at: datetime | None
    force: bool
    status: Status = Status.QUEUED
    reason: Reason | None = None
    cause: str | None = None
    attempt: int = 0
    max_attempts: int = 3
    lease_expires_at: datetime | None = None
    cancel_requested: bool = False
    finished_at: datetime | None = None
    superseded_by: int | None = None

    def end(self, status: Status, reason: Reason | None, now: datetime, cause: str | None = None) -> None:
        self.status, self.reason, self.cause = status, reason, cause
        self.lease_expires_at, self.finished_at = None, now

    def requeue(self, run_after: datetime, cause: str | None) -> None:
        self.status, self.run_after, self.cause = Status.QUEUED, run_after, cause
        self.lease_expires_at = None


@dataclass
class Model:
    """The queue of one repository."""

    now: datetime
    builds: dict[int, ModelBuild] = field(default_factory=dict)
    images: set[str] = field(default_factory=set)
    heads: dict[str, str | None] = field(default_factory=dict)

    def copy(self) -> dict[int, ModelBuild]:
        return {number: replace(build) for number, build in self.builds.items()}

    def active(self, commit: str) -> ModelBuild | None:
        found = [b for b in self.builds.values() if b.commit == commit and b.status in ACTIVE]
        return found[0] if found else None

    def enqueue(
        self, ref: str, commit: str, trigger: Trigger, pushed_at: datetime | None, force: bool
    ) -> EnqueueOutcome:
        """Apply a request. A new build has the id 0 until the database has assigned one."""
        priority = Priority.PUSH if trigger is Trigger.PUSH else Priority.INTERACTIVE
        if commit in self.images and not force:
            return EnqueueOutcome.EXISTS
        build = self.active(commit)
        if build is None:
            self.builds[0] = ModelBuild(0, ref, commit, priority, self.now, pushed_at, force)
            return EnqueueOutcome.QUEUED
        build.priority = min(build.priority, priority)
        build.force = build.force or force
        build.cancel_requested = False
        if pushed_at and build.ref == ref and (build.pushed_at is None or build.pushed_at < pushed_at):
            build.pushed_at = pushed_at
        return EnqueueOutcome.JOINED

    def claim(self) -> ModelBuild | None:
        due = [b for b in self.builds.values() if b.status is Status.QUEUED and b.run_after <= self.now]
        if not due:
            return None
        build = min(due, key=lambda b: (b.priority, b.id))
        build.status, build.attempt = Status.RUNNING, build.attempt + 1
        build.lease_expires_at = self.now + LEASE_LENGTH
        return build

    def held(self, lease: Lease) -> ModelBuild | None:
        build = self.builds[lease.build_id]
        return build if build.status is Status.RUNNING and build.attempt == lease.attempt else None

    def heartbeat(self, lease: Lease) -> HeartbeatResult:
        build = self.held(lease)
        if build is None:
            return HeartbeatResult.LOST
        build.lease_expires_at = self.now + LEASE_LENGTH
        return HeartbeatResult.CANCEL if build.cancel_requested else HeartbeatResult.CONTINUE

    def retry(self, lease: Lease, cause: str) -> Status | None:
        build = self.held(lease)
        if build is None:
            return None
        delay = RETRY_DELAYS[min(build.attempt, len(RETRY_DELAYS)) - 1]
        return self._requeue_or_end(build, self.now + delay, Reason.INFRASTRUCTURE, cause)

    def release(self, lease: Lease) -> bool:
        build = self.held(lease)
        if build is None:
            return False
        if build.cancel_requested:
            build.end(Status.CANCELLED, Reason.REQUESTED, self.now)
        else:
            build.max_attempts += 1
            build.requeue(self.now, build.cause)
        return True

    def reap(self) -> list[tuple[int, Status]]:
        expired = [b for b in self.builds.values() if b.lease_expires_at and b.lease_expires_at < self.now]
        return [(b.id, self._requeue_or_end(b, self.now, Reason.LOST, "lost")) for b in expired]

    def _requeue_or_end(self, build: ModelBuild, run_after: datetime, reason: Reason, cause: str) -> Status:
        if build.cancel_requested:
            build.end(Status.CANCELLED, Reason.REQUESTED, self.now)
        elif build.attempt < build.max_attempts:
            build.requeue(run_after, cause)
        else:
            build.end(Status.FAILED, reason, self.now, cause)
        return build.status

    def cancel(self, build: ModelBuild) -> CancelResult:
        if build.status is Status.QUEUED:
            build.end(Status.CANCELLED, Reason.REQUESTED, self.now)
            return CancelResult.DONE
        if build.status is Status.RUNNING:
            build.cancel_requested = True
            return CancelResult.REQUESTED
        return CancelResult.TOO_LATE

    def supersede(self, newer: ModelBuild, cancel: bool) -> int:
        older = [
            b
            for b in self._queued_pushes(newer.ref)
            if b is not newer
            and (newer.pushed_at is None or b.pushed_at is None or b.pushed_at <= newer.pushed_at)
            and (cancel or b.priority < Priority.OVERTAKEN)
        ]
        for build in older:
            if cancel:
                build.end(Status.CANCELLED, Reason.SUPERSEDED, self.now)
                build.superseded_by = newer.id
            else:
                build.priority = Priority.OVERTAKEN
        return len(older)

    def cancel_ref(self, ref: str) -> int:
        queued = list(self._queued_pushes(ref))
        for build in queued:
            build.end(Status.CANCELLED, Reason.REF_DELETED, self.now)
        return len(queued)

    def cancel_repository(self) -> int:
        queued = [b for b in self.builds.values() if b.status is Status.QUEUED]
        for build in queued:
            build.end(Status.CANCELLED, Reason.REPOSITORY_GONE, self.now)
        return len(queued)

    def _queued_pushes(self, ref: str) -> Iterator[ModelBuild]:
        for build in self.builds.values():
            needed = any(other != ref and commit == build.commit for other, commit in self.heads.items())
            if (
                build.ref == ref
                and build.status is Status.QUEUED
                and build.priority >= Priority.PUSH
                and not needed
            ):
                yield build

    def advance(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
