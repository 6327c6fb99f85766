"""Limit the builds of each user: active at once, and requested within an hour.

Builds are counted in the transaction that enqueues the new one, after it is inserted. Joining a build or finding
an image therefore costs nothing, and rolling back removes a build that exceeds the quota.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import IS_ACTIVE, Build

HOUR = timedelta(hours=1)
_LOCK_NAMESPACE = 0x7E202  # separates these advisory locks from others in the same PostgreSQL database


class UserQuota(NamedTuple):
    """The limits of one user; 0 means no limit."""

    active: int
    per_hour: int


class QuotaExcess(NamedTuple):
    """The limits that a user exceeds, counting the newest build. Falsy if the user exceeds none."""

    active: int
    """The number of the user's active builds if it exceeds the limit, otherwise 0."""
    next_request_at: datetime | None
    """When the user may request the next build if the hourly limit is exceeded, otherwise None."""

    def __bool__(self) -> bool:
        return self.active > 0 or self.next_request_at is not None


def lock_user(session: Session, name: str) -> None:
    """Serialize the requests of a user until the transaction ends, so that concurrent requests count each other.

    Call it before any row is locked. SQLite has only one writer at a time and needs no lock.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_LOCK_NAMESPACE, func.hashtext(name))))


def find_excess(session: Session, name: str, quota: UserQuota, now: datetime) -> QuotaExcess:
    """Return the limits that a user exceeds."""
    active = 0
    if quota.active:
        counted = select(func.count()).select_from(Build).where(IS_ACTIVE, Build.requested_by == name)
        count = session.scalar(counted) or 0
        active = count if count > quota.active else 0
    next_request_at = None
    if quota.per_hour:
        within_hour = (Build.requested_by == name, Build.created_at > now - HOUR)
        newest_first = select(Build.created_at).where(*within_hour).order_by(Build.created_at.desc())
        # Skip the new build. If `per_hour` earlier ones remain, the limit ends when the oldest is an hour old.
        earlier = session.scalars(newest_first.offset(1).limit(quota.per_hour)).all()
        next_request_at = earlier[-1] + HOUR if len(earlier) == quota.per_hour else None
    return QuotaExcess(active, next_request_at)
