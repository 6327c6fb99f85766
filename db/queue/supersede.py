"""Builds that wait and are not wanted any more, or not so soon: a part of `db.queue.transitions`, which exports it.

A newer push to their ref came, or the ref or the whole repository was deleted.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, bindparam, exists, or_, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.elements import ColumnElement

from db.columns import Base
from db.models import IS_QUEUED, Build, Repository
from db.queue import outbox
from db.queue.enqueue import QueueEntry
from db.records.repositories import KnownRepository
from db.sql import driver
from db.status import Priority, Reason, Status

Values = dict[str, Any]

_BUILD = Base.metadata.tables["build"]
_HEAD = Base.metadata.tables["ref_head"]


def supersede(session: Session, newer: Build | QueueEntry, *, cancel: bool, now: datetime) -> int:
    """Let a push go before the older, still queued pushes to its ref; return how many that changed.

    With `cancel` they are cancelled, else they wait behind. A build that a person waits for, or whose commit
    another ref stands at, is not touched; nor is a running one.
    """
    place = {"of_repository": newer.repository_id, "of_ref": newer.ref}
    last = {"newer": newer.id, "until": newer.pushed_at or _END_OF_TIME}
    if not cancel:
        return len(driver.execute(session, _OVERTAKE_OLDER, {**place, **last}))
    cancelled = driver.execute(session, _CANCEL_OLDER, {**place, **last, "now": now})
    return _note_cancelled(session, [build_id for (build_id,) in cancelled], now)


def cancel_ref(session: Session, repository: Repository | KnownRepository, ref: str, *, now: datetime) -> int:
    """Cancel the queued push builds of a ref that was deleted; return how many there were."""
    message = "Its branch or tag was deleted."
    values = ended_columns(Status.CANCELLED, Reason.REF_DELETED, now, message=message)
    pushes = _queued_pushes(repository.id, ref)
    return _note_cancelled(session, _changed_ids(session, _update_all(pushes, values)), now)


def cancel_repository(session: Session, repository: Repository | KnownRepository, *, now: datetime) -> int:
    """Cancel all queued builds of a repository that was deleted; return how many there were."""
    queued = and_(_BUILD.c.repository_id == repository.id, IS_QUEUED)
    message = "Its repository was deleted."
    values = ended_columns(Status.CANCELLED, Reason.REPOSITORY_GONE, now, message=message)
    return _note_cancelled(session, _changed_ids(session, _update_all(queued, values)), now)


def ended_columns(status: Status, reason: Reason, now: Any, **values: Any) -> Values:
    """Return the columns of a build that has ended without success."""
    ended = {"status": status, "reason": reason, "finished_at": now, "lease_expires_at": None}
    return {**ended, "cause": None, "message": None, **values}


def _queued_pushes(repository_id: Any, ref: Any) -> ColumnElement[bool]:
    """The waiting builds of a ref that nobody waits for and whose commit no other ref stands at."""
    needed_elsewhere = exists().where(
        _HEAD.c.repository_id == _BUILD.c.repository_id,
        _HEAD.c.commit == _BUILD.c.commit,
        _HEAD.c.ref != _BUILD.c.ref,
    )
    return and_(
        _BUILD.c.repository_id == repository_id,
        _BUILD.c.ref == ref,
        IS_QUEUED,
        _BUILD.c.priority >= Priority.PUSH,
        ~needed_elsewhere,
    )


def _update_all(
    condition: ColumnElement[bool], values: Values, *, skip_locked: bool = False
) -> ReturningUpdate[tuple[int]]:
    # Locked in one order, so that two of these at once wait for each other instead of deadlocking.
    chosen = select(_BUILD.c.id).where(condition).order_by(_BUILD.c.id)
    locked = chosen.with_for_update(skip_locked=skip_locked, key_share=True)
    return update(_BUILD).where(_BUILD.c.id.in_(locked)).values(values).returning(_BUILD.c.id)


def _changed_ids(session: Session, statement: ReturningUpdate[tuple[int]]) -> list[int]:
    """Return the ids of the builds that were changed."""
    return list(session.scalars(statement))


def _note_cancelled(session: Session, build_ids: list[int], now: datetime) -> int:
    outbox.note(session, Status.CANCELLED, build_ids, now=now)
    return len(build_ids)


# Every push runs one of these two, so they are built once: that takes ten times longer than to run them.
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)
_OLDER = and_(
    _queued_pushes(bindparam("of_repository"), bindparam("of_ref")),
    _BUILD.c.id != bindparam("newer"),
    or_(_BUILD.c.pushed_at.is_(None), _BUILD.c.pushed_at <= bindparam("until")),
)
_NOT_YET_BEHIND = _BUILD.c.priority < Priority.OVERTAKEN
# One that is locked is being claimed, cancelled, or joined by somebody who needs it: not to be superseded.
_OVERTAKE_OLDER = _update_all(
    and_(_OLDER, _NOT_YET_BEHIND), {"priority": Priority.OVERTAKEN}, skip_locked=True
)
_CANCEL_OLDER = _update_all(
    _OLDER,
    ended_columns(
        Status.CANCELLED,
        Reason.SUPERSEDED,
        bindparam("now"),
        message="A newer push to the same ref took its place.",
        superseded_by=bindparam("newer"),
    ),
    skip_locked=True,
)
