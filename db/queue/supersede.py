"""Cancel or postpone queued builds that became outdated.

A build becomes outdated when a newer push to its ref arrives, or when its ref or repository is deleted.
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
    """Cancel the older queued pushes of a ref, or move them behind the newer one. Return how many changed.

    `cancel` chooses between the two. Builds stay unchanged if they are running, if a user requested them, or if
    another ref points at their commit.
    """
    of_ref = {"of_repository": newer.repository_id, "of_ref": newer.ref}
    older = {"newer": newer.id, "until": newer.pushed_at or _END_OF_TIME}
    if not cancel:
        return len(driver.execute(session, _OVERTAKE_OLDER, {**of_ref, **older}))
    cancelled = driver.execute(session, _CANCEL_OLDER, {**of_ref, **older, "now": now})
    return _note_cancelled(session, [build_id for (build_id,) in cancelled], now)


def cancel_ref(session: Session, repository: Repository | KnownRepository, ref: str, *, now: datetime) -> int:
    """Cancel the queued push builds of a deleted ref. Return how many were cancelled."""
    message = "The branch or tag was deleted."
    values = ended_columns(Status.CANCELLED, Reason.REF_DELETED, now, message=message)
    pushes = _queued_pushes(repository.id, ref)
    return _note_cancelled(session, _changed_ids(session, _update_all(pushes, values)), now)


def cancel_repository(session: Session, repository: Repository | KnownRepository, *, now: datetime) -> int:
    """Cancel all queued builds of a deleted repository. Return how many were cancelled."""
    queued = and_(_BUILD.c.repository_id == repository.id, IS_QUEUED)
    message = "The repository was deleted."
    values = ended_columns(Status.CANCELLED, Reason.REPOSITORY_GONE, now, message=message)
    return _note_cancelled(session, _changed_ids(session, _update_all(queued, values)), now)


def ended_columns(status: Status, reason: Reason, now: Any, **values: Any) -> Values:
    """Return the column values of a build that ended without success."""
    ended = {"status": status, "reason": reason, "finished_at": now, "lease_expires_at": None}
    return {**ended, "cause": None, "message": None, **values}


def _queued_pushes(repository_id: Any, ref: Any) -> ColumnElement[bool]:
    """Match queued builds of a ref that no user requested and whose commit no other ref points at."""
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
    # Lock in the order of ids, so that two concurrent statements wait for each other instead of deadlocking.
    chosen = select(_BUILD.c.id).where(condition).order_by(_BUILD.c.id)
    locked = chosen.with_for_update(skip_locked=skip_locked, key_share=True)
    return update(_BUILD).where(_BUILD.c.id.in_(locked)).values(values).returning(_BUILD.c.id)


def _changed_ids(session: Session, statement: ReturningUpdate[tuple[int]]) -> list[int]:
    """Run the statement and return the ids of the changed builds."""
    return list(session.scalars(statement))


def _note_cancelled(session: Session, build_ids: list[int], now: datetime) -> int:
    outbox.note(session, Status.CANCELLED, build_ids, now=now)
    return len(build_ids)


# Every push runs one of these two statements. They are built once because that takes ten times longer than running
# them.
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)
_OLDER = and_(
    _queued_pushes(bindparam("of_repository"), bindparam("of_ref")),
    _BUILD.c.id != bindparam("newer"),
    or_(_BUILD.c.pushed_at.is_(None), _BUILD.c.pushed_at <= bindparam("until")),
)
_IS_NOT_OVERTAKEN = _BUILD.c.priority < Priority.OVERTAKEN
# Skip locked builds: they are being claimed, cancelled, or joined by a request, and must not be superseded.
_OVERTAKE_OLDER = _update_all(
    and_(_OLDER, _IS_NOT_OVERTAKEN), {"priority": Priority.OVERTAKEN}, skip_locked=True
)
_CANCEL_OLDER = _update_all(
    _OLDER,
    ended_columns(
        Status.CANCELLED,
        Reason.SUPERSEDED,
        bindparam("now"),
        message="A newer push to the same ref replaced this build.",
        superseded_by=bindparam("newer"),
    ),
    skip_locked=True,
)
