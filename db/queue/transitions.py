"""Every change of a build's status, and nothing else.

Each transition is one guarded UPDATE whose row count says whether it happened, with a note in the outbox of what
is to be told; the caller commits. A worker's statements are fenced: they name the attempt that the worker claimed,
and `attempt` only grows, so a worker that lost its lease can change nothing any more. The moves are those of
`db.status.TRANSITIONS`.

A transaction that touches more than builds locks in the order repository, ref head, build; any other order ends in
a deadlock some day.
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
"""How long a builder owns a build without a heartbeat."""

RETRY_DELAYS = (timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10))
"""The wait before the next attempt, by the number of attempts that failed."""


@dataclass(frozen=True)
class BuildResult:
    """How a build ended by itself, for `finish`: a reason exactly where it did not succeed."""

    status: Status
    reason: Reason | None = None
    cause: str | None = None
    message: str | None = None


def _inline_status(status: Status) -> ColumnElement[Status]:
    # Rendered into the statement: with a bound parameter PostgreSQL's generic plan ignores the partial index.
    return literal(status, EnumText(Status), literal_execute=True)


def claim(session: Session, *, worker: str, now: datetime, lease: timedelta = LEASE_LENGTH) -> Build | None:
    """Take the next build: the most urgent priority, then the oldest. None where nothing waits.

    Atomic over any number of workers; the attempt in the answer is the fencing token for all that follows.
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
    """Extend the lease, and bring back whether to go on."""
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
    """Note what the build is doing and since when; False where the lease is lost."""
    return _change(session, _is_held(lease), phase=phase, **{f"{phase.value}_at": now}) > 0


def record_checkout(
    session: Session, lease: Lease, *, fingerprint: str | None, title: str | None, author: str | None
) -> bool:
    """Note what the checkout told of the commit; False where the lease is lost."""
    commit = {
        "commit_title": func.coalesce(Build.commit_title, title),
        "commit_author": func.coalesce(Build.commit_author, author),
    }
    return _change(session, _is_held(lease), fingerprint=fingerprint, **commit) > 0


def finish(session: Session, lease: Lease, result: BuildResult, *, now: datetime) -> bool:
    """End the build; False where the lease is lost, and then nothing was written.

    Success wins over a cancel request that came too late to stop anything.
    """
    why = {"reason": result.reason, "cause": result.cause, "message": result.message}
    ended = {"status": result.status, "finished_at": now, "lease_expires_at": None}
    if not _change(session, _is_held(lease), **ended, **why):
        return False
    outbox.note(session, result.status, [lease.build_id], now=now)
    return True


def _requeue_or_end(
    session: Session,
    condition: ColumnElement[bool],
    *,
    now: datetime,
    again: dict[str, Any],
    failed: dict[str, Any] | None = None,
    skip_locked: bool = False,
) -> list[tuple[int, Status]]:
    """Move running builds to the first that fits: cancelled where asked for, queued again, failed.

    Without `failed` they are queued again whether or not an attempt is left.
    """
    # Locked before they are judged: a cancel request that came in between would be lost.
    columns = (Build.id, Build.attempt, Build.max_attempts, Build.cancel_requested_at)
    found = select(*columns).where(condition).order_by(Build.id)
    moved: list[tuple[int, Status]] = []
    for row in session.execute(found.with_for_update(skip_locked=skip_locked, key_share=True)).all():
        values = {"status": Status.QUEUED, "lease_expires_at": None, "phase": None, **again}
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
    """Give a build back after an infrastructure error: queued for later, or failed without an attempt left.

    Returns the new status; None where the lease is lost.
    """
    why = {"cause": cause, "message": message}
    delay = RETRY_DELAYS[min(lease.attempt, len(RETRY_DELAYS)) - 1]
    again = {"run_after": now + delay, **why}
    failed = {"reason": Reason.INFRASTRUCTURE, **why}
    moved = _requeue_or_end(session, _is_held(lease), now=now, again=again, failed=failed)
    return moved[0][1] if moved else None


def release(session: Session, lease: Lease, *, now: datetime) -> bool:
    """Give a running build back at once, as a builder does that is told to stop (SIGTERM) or to cancel it.

    It is cancelled if that is still asked for, else queued. The attempt is not used up: `attempt` must grow, so
    `max_attempts` grows with it. False: the lease is lost.
    """
    again = {"run_after": now, "max_attempts": Build.max_attempts + 1}
    return bool(_requeue_or_end(session, _is_held(lease), now=now, again=again))


def reap(session: Session, *, now: datetime) -> list[tuple[int, Status]]:
    """Take the builds whose lease ran out from their dead workers; return their ids and new statuses.

    Idempotent, and safe to run from every worker at once.
    """
    expired = and_(Build.status == _inline_status(Status.RUNNING), Build.lease_expires_at < now)
    lost = "The builder stopped answering, each time it was tried. Ask an admin to look at the builder."
    again = {"run_after": now, "cause": "lost", "message": "Its builder stopped answering; trying again."}
    failed = {"reason": Reason.LOST, "cause": "lost", "message": lost}
    # One that is locked is being taken by another reaper, or its worker lives after all.
    return _requeue_or_end(session, expired, now=now, again=again, failed=failed, skip_locked=True)


def cancel(session: Session, build_id: int, *, by: str | None, now: datetime) -> CancelResult:
    """Cancel a queued build now, or ask the builder of a running one to stop it."""
    this = Build.id == build_id
    # Locked before it is judged: it may go from running back to queued, and be missed as both.
    status = session.scalar(select(Build.status).where(this).with_for_update(key_share=True))
    if status is Status.QUEUED:
        values = ended_columns(Status.CANCELLED, Reason.REQUESTED, now, cancelled_by=by)
        _change(session, and_(this, Build.status == _inline_status(Status.QUEUED)), **values)
        outbox.note(session, Status.CANCELLED, [build_id], now=now)
        return CancelResult.DONE
    if status is Status.RUNNING:
        asked = {"cancel_requested_at": now, "cancelled_by": by}
        _change(session, and_(this, Build.status == _inline_status(Status.RUNNING)), **asked)
        return CancelResult.REQUESTED
    return CancelResult.TOO_LATE
