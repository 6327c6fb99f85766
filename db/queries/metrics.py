"""Count builds for the metrics, at a cost that does not depend on the length of the history."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, ColumnElement, and_, cast, extract, func, select, text
from sqlalchemy.orm import Session

from db.models import IS_ACTIVE, IS_QUEUED, IS_RUNNING, Build, Repository
from db.status import Status

_IDS_PER_STATEMENT = 500  # ids in one statement

# Every transaction that writes builds holds this lock from before it gets an id until it ends. Transaction ids
# would not do: a transaction can get its own after the build's.
_WRITERS = text(
    "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'"
    " AND relation = to_regclass('build')"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class QueueLoad(NamedTuple):
    """The load of the queue."""

    queued: int
    oldest: datetime | None
    """When the oldest queued build was requested."""
    running: int


class EndedCount(NamedTuple):
    """The number of builds with one outcome and duration in seconds; None if they never started."""

    status: Status
    provider: str
    seconds: int | None
    builds: int


def queue_load(session: Session) -> QueueLoad:
    """Return the load of the queue, read from partial indexes."""
    queued, oldest = session.execute(
        select(func.count(), func.min(Build.created_at)).where(IS_QUEUED).select_from(Build)
    ).one()
    running = session.scalar(select(func.count()).select_from(Build).where(IS_RUNNING))
    return QueueLoad(queued, oldest, running or 0)


def uncommitted_writers(session: Session) -> frozenset[str]:
    """Return the transactions that may still commit builds with lower ids than visible ones.

    PostgreSQL gives a build its id before it commits. SQLite has one writer at a time: there are none.
    """
    if session.get_bind().dialect.name == "sqlite":
        return frozenset()
    return frozenset(session.scalars(_WRITERS))


def active_ids(session: Session) -> set[int]:
    """Return the ids of the builds that have not ended."""
    return set(session.scalars(select(Build.id).where(IS_ACTIVE)))


def count_ended(session: Session, *, after: int, upto: int) -> Iterator[EndedCount]:
    """Count the ended builds with ids above `after`, up to and including `upto`."""
    yield from _count_ended(session, and_(Build.id > after, Build.id <= upto))


def count_ended_among(session: Session, ids: Collection[int]) -> Iterator[EndedCount]:
    """Count the ended builds with these ids; deleted builds do not count."""
    listed = sorted(ids)
    for start in range(0, len(listed), _IDS_PER_STATEMENT):
        yield from _count_ended(session, Build.id.in_(listed[start : start + _IDS_PER_STATEMENT]))


def _count_ended(session: Session, which: ColumnElement[bool]) -> Iterator[EndedCount]:
    # An outer join, and `finished_at` instead of the status: otherwise SQLite would loop over the repositories.
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
