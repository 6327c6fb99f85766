"""How many builds one person may have: under way at once, and asked for within an hour.

Counted in the transaction that puts the build into the queue, and after it is in: so a build that is joined or an
image that is there costs nothing, and what is refused was never there.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import IS_ACTIVE, Build

HOUR = timedelta(hours=1)
_LOCK_NAMESPACE = 0x7E202  # our number among PostgreSQL's advisory locks


class UserQuota(NamedTuple):
    """The most that one person may have; 0: without limit."""

    active: int
    per_hour: int


class QuotaExcess(NamedTuple):
    """What of it one person has used up, the newest build included."""

    active: int
    """How many of their builds wait or run, where that is too many; else 0."""
    next_request_at: datetime | None
    """When the next may be asked for, where those of the last hour are too many."""

    def __bool__(self) -> bool:
        return self.active > 0 or self.next_request_at is not None


def lock_user(session: Session, name: str) -> None:
    """Let a person's wishes come one after the other until the transaction ends, or two would each count one.

    To be called before anything is locked. SQLite has one writer at a time anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_LOCK_NAMESPACE, func.hashtext(name))))


def find_excess(session: Session, name: str, quota: UserQuota, now: datetime) -> QuotaExcess:
    """Return where a person has more than they may; falsy where nowhere."""
    active = 0
    if quota.active:
        mine = select(func.count()).select_from(Build).where(IS_ACTIVE, Build.requested_by == name)
        count = session.scalar(mine) or 0
        active = count if count > quota.active else 0
    next_request_at = None
    if quota.per_hour:
        lately = (Build.requested_by == name, Build.created_at > now - HOUR)
        newest = select(Build.created_at).where(*lately).order_by(Build.created_at.desc())
        # All that may be asked for, and the one too many: when the oldest of the former is an hour old, it may be.
        oldest = session.scalars(newest.offset(1).limit(quota.per_hour)).all()
        next_request_at = oldest[-1] + HOUR if len(oldest) == quota.per_hour else None
    return QuotaExcess(active, next_request_at)
