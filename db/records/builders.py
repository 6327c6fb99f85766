"""The presence of builders, which each builder records every half minute."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import CursorResult, delete, select
from sqlalchemy.orm import Session

from db.models import Builder
from db.sql.insert import upsert

PRESENCE_INTERVAL = 30.0
"""Seconds between two presence records of a builder."""

PRESENCE_TIMEOUT = timedelta(seconds=3 * PRESENCE_INTERVAL)
"""A builder without a presence record for this long counts as not running."""

REMOVED_AFTER = timedelta(days=1)
"""How long a silent builder stays listed. A builder that stops normally removes itself at once."""


def record_presence(
    session: Session, *, name: str, slots: int, version: str, started_at: datetime, now: datetime
) -> None:
    """Record that a builder is running."""
    values = {"slots": slots, "version": version, "started_at": started_at, "seen_at": now}
    upsert(session, Builder, key={"name": name}, values=values)


def remove(session: Session, name: str) -> None:
    """Remove a builder that stopped normally."""
    session.execute(delete(Builder).where(Builder.name == name))


def remove_silent(session: Session, *, now: datetime) -> int:
    """Remove the builders that have been silent for REMOVED_AFTER. Return how many were removed."""
    result = session.execute(delete(Builder).where(Builder.seen_at < now - REMOVED_AFTER))
    assert isinstance(result, CursorResult)  # noqa: S101 -- a DELETE always gives one
    return result.rowcount


def list_recent(session: Session, now: datetime) -> Sequence[Builder]:
    """Return up to 200 builders seen within REMOVED_AFTER, the most recently seen first."""
    is_recent = Builder.seen_at >= now - REMOVED_AFTER
    return session.scalars(select(Builder).where(is_recent).order_by(Builder.seen_at.desc()).limit(200)).all()


def any_alive(session: Session, now: datetime) -> bool:
    """Return whether any builder was seen within PRESENCE_TIMEOUT."""
    return (
        session.scalar(select(Builder.name).where(Builder.seen_at >= now - PRESENCE_TIMEOUT).limit(1))
        is not None
    )


def is_alive(builder: Builder, now: datetime) -> bool:
    """Return whether a builder was seen within PRESENCE_TIMEOUT."""
    return now - builder.seen_at <= PRESENCE_TIMEOUT
