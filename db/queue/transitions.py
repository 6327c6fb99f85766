"""Change the status of builds. All allowed transitions are in `db.status.TRANSITIONS`.

Each transition is one guarded UPDATE, whose row count shows whether it happened, and adds a report to the outbox.
The caller commits. Builders' statements are fenced: they match the attempt that the builder claimed. `attempt`
only grows, so a builder that lost its lease cannot change the build.

Transactions that lock other rows too must lock in this order to avoid deadlocks: repository, ref head, build.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, and_, func, literal, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from db.columns import EnumText
from db.database import notify_work
from db.models import Build
from db.queue import outbox
from db.queue.supersede import ended_columns
from db.status import CancelResult, HeartbeatResult, Lease, Phase, Reason, Status

LEASE_LENGTH = timedelta(seconds=60)
"""How long a builder keeps a build without a heartbeat."""

RETRY_DELAYS = (timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10))
"""The delay before the next attempt, by the number of failed attempts."""


@dataclass(frozen=True)
class BuildResult:
    """The result of a build for `finish`. It has a reason unless the build succeeded."""

    status: Status
    reason: Reason | None = None
    cause: str | None = None
    message: str | None = None


def _inline_status(status: Status) -> ColumnElement[Status]:
    # Rendered into the statement: with a bound parameter, PostgreSQL's generic plan ignores the partial index.
    return literal(status, EnumText(Status), literal_execute=True)


def claim(session: Session, *, worker: str, now: datetime, lease: timedelta = LEASE_LENGTH) -> Build | None:
    """Claim the next build: by priority, then the oldest first. Return None if no build is due.

    Atomic for any number of builders. `attempt` of the returned build is the fencing token for later updates.
    """
    next_id = (
        select(Build.id)
        .where(Build.status == _inline_status(Status.QUEUED), Build.run_after <= now)
        .order_by(Build.priority, Build.id)
        .limit(1)
        .with_for_update(skip_locked=True, key_share=True)
        .scalar_subquery()
    )
    build = session.scalar(
        update(Build)
        .where(Build.id == next_id, Build.status == _inline_status(Status.QUEUED))
        .values(
            status=Status.RUNNING,
            attempt=Build.attempt + 1,
            worker=worker,
            lease_expires_at=now + lease,
            started_at=func.coalesce(Build.started_at, literal(now, Build.started_at.type)),
            phase=None,
            fetching_at=None,
            building_at=None,
            pushing_at=None,
        )
        .returning(Build)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    if build is not None:
        outbox.note(session, Status.RUNNING, [build.id], now=now)
    return build


def _is_held(lease: Lease) -> ColumnElement[bool]:
    return and_(
        Build.id == lease.build_id,
        Build.status == _inline_status(Status.RUNNING),
        Build.attempt == lease.attempt,
    )


def _change(session: Session, condition: ColumnElement[bool], **values: Any) -> int:
    statement = update(Build).where(condition).values(**values)
    result = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)  # noqa: S101 -- an UPDATE always gives one
    return result.rowcount


def heartbeat(
    session: Session, lease: Lease, *, now: datetime, lease_length: timedelta = LEASE_LENGTH
) -> HeartbeatResult:
    """Extend the lease. Return whether to continue, cancel, or stop because the lease is lost."""
    row = session.execute(
        update(Build)
        .where(_is_held(lease))
        .values(lease_expires_at=now + lease_length)
        .returning(Build.cancel_requested_at)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is None:
        return HeartbeatResult.LOST
    return HeartbeatResult.CONTINUE if row.cancel_requested_at is None else HeartbeatResult.CANCEL


def enter_phase(session: Session, lease: Lease, phase: Phase, *, now: datetime) -> bool:
    """Record the phase of a build and when it started. Return False if the lease is lost."""
    return _change(session, _is_held(lease), phase=phase, **{f"{phase.value}_at": now}) > 0


def record_checkout(
    session: Session, lease: Lease, *, fingerprint: str | None, title: str | None, author: str | None
) -> bool:
    """Record what the checkout shows about the commit. Return False if the lease is lost."""
    commit = {
        "commit_title": func.coalesce(Build.commit_title, title),
        "commit_author": func.coalesce(Build.commit_author, author),
    }
    return _change(session, _is_held(lease), fingerprint=fingerprint, **commit) > 0


def finish(session: Session, lease: Lease, result: BuildResult, *, now: datetime) -> bool:
    """End a build with its result. Return False, and write nothing, if the lease is lost.

    The result also applies if a cancel request arrived too late to stop the build.
    """
    explanation = {"reason": result.reason, "cause": result.cause, "message": result.message}
    ended = {"status": result.status, "finished_at": now, "lease_expires_at": None}
    if not _change(session, _is_held(lease), **ended, **explanation):
        return False
    outbox.note(session, result.status, [lease.build_id], now=now)
    return True


def _requeue_or_end(
    session: Session,
    condition: ColumnElement[bool],
    *,
    now: datetime,
    requeued: dict[str, Any],
    failed: dict[str, Any] | None = None,
    skip_locked: bool = False,
) -> list[tuple[int, Status]]:
    """Cancel running builds with a cancel request, fail those without attempts left, and requeue the others.

    Without `failed`, builds are requeued even if no attempt is left. Returns the changed ids with new statuses.
    """
    # Lock first, then decide: a cancel request in between would be lost.
    columns = (Build.id, Build.attempt, Build.max_attempts, Build.cancel_requested_at)
    found = select(*columns).where(condition).order_by(Build.id)
    moved: list[tuple[int, Status]] = []
    for row in session.execute(found.with_for_update(skip_locked=skip_locked, key_share=True)).all():
        values = {"status": Status.QUEUED, "lease_expires_at": None, "phase": None, **requeued}
        if row.cancel_requested_at is not None:
            values = ended_columns(Status.CANCELLED, Reason.REQUESTED, now)
        elif failed is not None and row.attempt >= row.max_attempts:
            values = ended_columns(Status.FAILED, now=now, **failed)
        if _change(session, _is_held(Lease(row.id, row.attempt)), **values):
            moved.append((row.id, values["status"]))
            outbox.note(session, values["status"], [row.id], now=now)
    if any(status is Status.QUEUED for _, status in moved):
        notify_work(session)
    return moved


def retry(session: Session, lease: Lease, *, cause: str, message: str, now: datetime) -> Status | None:
    """Requeue a build with a delay after an infrastructure error, or fail it if no attempt is left.

    Returns the new status, or None if the lease is lost.
    """
    explanation = {"cause": cause, "message": message}
    delay = RETRY_DELAYS[min(lease.attempt, len(RETRY_DELAYS)) - 1]
    requeued = {"run_after": now + delay, **explanation}
    failed = {"reason": Reason.INFRASTRUCTURE, **explanation}
    moved = _requeue_or_end(session, _is_held(lease), now=now, requeued=requeued, failed=failed)
    return moved[0][1] if moved else None


def release(session: Session, lease: Lease, *, now: datetime) -> bool:
    """Give up the lease of a running build, because the builder stops (SIGTERM) or the build is to be cancelled.

    The build is cancelled if it has a cancel request, otherwise requeued without losing an attempt: `attempt` must
    grow, so `max_attempts` grows with it. Return False if the lease is lost.
    """
    requeued = {"run_after": now, "max_attempts": Build.max_attempts + 1}
    return bool(_requeue_or_end(session, _is_held(lease), now=now, requeued=requeued))


def reap(session: Session, *, now: datetime) -> list[tuple[int, Status]]:
    """Requeue or end the builds whose lease expired. Return their ids and new statuses.

    Idempotent, and safe to run from all builders at once.
    """
    expired = and_(Build.status == _inline_status(Status.RUNNING), Build.lease_expires_at < now)
    lost = "The builder stopped responding in every attempt. Ask an admin to check the builder."
    requeued = {"run_after": now, "cause": "lost", "message": "The builder stopped responding. Retrying."}
    failed = {"reason": Reason.LOST, "cause": "lost", "message": lost}
    # Skip locked builds: another builder is reaping them, or their own builder is still alive.
    return _requeue_or_end(session, expired, now=now, requeued=requeued, failed=failed, skip_locked=True)


def cancel(session: Session, build_id: int, *, by: str | None, now: datetime) -> CancelResult:
    """Cancel a queued build now, or request that the builder of a running build stops it."""
    is_build = Build.id == build_id
    # Lock first, then decide: a build that is requeued in between would be missed in both states.
    status = session.scalar(select(Build.status).where(is_build).with_for_update(key_share=True))
    if status is Status.QUEUED:
        values = ended_columns(Status.CANCELLED, Reason.REQUESTED, now, cancelled_by=by)
        _change(session, and_(is_build, Build.status == _inline_status(Status.QUEUED)), **values)
        outbox.note(session, Status.CANCELLED, [build_id], now=now)
        return CancelResult.DONE
    if status is Status.RUNNING:
        requested = {"cancel_requested_at": now, "cancelled_by": by}
        _change(session, and_(is_build, Build.status == _inline_status(Status.RUNNING)), **requested)
        return CancelResult.REQUESTED
    return CancelResult.TOO_LATE
