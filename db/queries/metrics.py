"""Counts over all builds, for the metrics: cheap to read every few seconds, however many builds there are."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, ColumnElement, and_, cast, extract, func, select, text
from sqlalchemy.orm import Session

from db.models import IS_ACTIVE, IS_QUEUED, IS_RUNNING, Build, Repository
from db.status import Status

_IDS_PER_STATEMENT = 500  # ids in one statement

# Every transaction that writes builds holds this lock from before it draws an id until it ends, and everybody may
# see who does. The numbers of transactions would not do: one may get its own after it drew the build's.
_WRITERS = text(
    "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'"
    " AND relation = to_regclass('build')"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class QueueLoad(NamedTuple):
    """How busy the builders are."""

    queued: int
    oldest: datetime | None
    """When the build that has waited longest was asked for."""
    running: int


class EndedCount(NamedTuple):
    """How many builds came to one end in as many whole seconds; None where they never began."""

    status: Status
    provider: str
    seconds: int | None
    builds: int


def queue_load(session: Session) -> QueueLoad:
    """Return what waits and what runs; both are read from partial indices."""
    queued, oldest = session.execute(
        select(func.count(), func.min(Build.created_at)).where(IS_QUEUED).select_from(Build)
    ).one()
    running = session.scalar(select(func.count()).select_from(Build).where(IS_RUNNING))
    return QueueLoad(queued, oldest, running or 0)


def uncommitted_writers(session: Session) -> frozenset[str]:
    """Return the transactions that may yet commit builds with lower ids than some that can be seen.

    PostgreSQL gives a build its id before it commits. SQLite has one writer at a time: there are none.
    """
    if session.get_bind().dialect.name == "sqlite":
        return frozenset()
    return frozenset(session.scalars(_WRITERS))


def active_ids(session: Session) -> set[int]:
    """Return the ids of the builds that have not ended."""
    return set(session.scalars(select(Build.id).where(IS_ACTIVE)))


def count_ended(session: Session, *, after: int, upto: int) -> Iterator[EndedCount]:
    """Count the builds that have ended and whose ids are above `after`, and not above `upto`."""
    yield from _count_ended(session, and_(Build.id > after, Build.id <= upto))


def count_ended_among(session: Session, ids: Collection[int]) -> Iterator[EndedCount]:
    """Count as `count_ended` does, of the builds with these ids; what is not on record any more does not count."""
    listed = sorted(ids)
    for start in range(0, len(listed), _IDS_PER_STATEMENT):
        yield from _count_ended(session, Build.id.in_(listed[start : start + _IDS_PER_STATEMENT]))


def _count_ended(session: Session, which: ColumnElement[bool]) -> Iterator[EndedCount]:
    # By an outer join, and what has ended not by its status: SQLite would go from repository to repository.
    took = cast(extract("epoch", Build.finished_at) - extract("epoch", Build.started_at), BigInteger)
    each = (
        select(Build.status, Repository.provider, took.label("seconds"))
        .outerjoin(Repository, Repository.id == Build.repository_id)
        .where(Build.finished_at.is_not(None), which)
        .subquery()
    ).c
    key = (each.status, each.provider, each.seconds)
    counted = select(*key, func.count()).group_by(*key)
    for status, provider, seconds, builds in session.execute(counted):
        yield EndedCount(status, provider, None if seconds is None else max(seconds, 0), builds)
