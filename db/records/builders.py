"""The builders that live, as they say themselves every half minute."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import CursorResult, delete, select
from sqlalchemy.orm import Session

from db.models import Builder
from db.sql.insert import upsert

PRESENCE_INTERVAL = 30.0
"""Seconds between two signs of life."""

PRESENCE_TIMEOUT = timedelta(seconds=3 * PRESENCE_INTERVAL)
"""A builder that was not heard of for so long is not counted on."""

REMOVED_AFTER = timedelta(days=1)
"""How long a builder is shown that fell silent. One that was stopped says so, and is gone at once."""


def record_presence(
    session: Session, *, name: str, slots: int, version: str, started_at: datetime, now: datetime
) -> None:
    """Note that a builder lives."""
    values = {"slots": slots, "version": version, "started_at": started_at, "seen_at": now}
    upsert(session, Builder, key={"name": name}, values=values)


def remove(session: Session, name: str) -> None:
    """Note that a builder was stopped as it should be."""
    session.execute(delete(Builder).where(Builder.name == name))


def remove_silent(session: Session, *, now: datetime) -> int:
    """Remove the builders that fell silent long ago, and return how many that were."""
    result = session.execute(delete(Builder).where(Builder.seen_at < now - REMOVED_AFTER))
    assert isinstance(result, CursorResult)  # noqa: S101 -- a DELETE always gives one
    return result.rowcount


def list_recent(session: Session, now: datetime) -> Sequence[Builder]:
    """Return the builders that were heard of within the last day, the longest silent last."""
    heard = Builder.seen_at >= now - REMOVED_AFTER
    return session.scalars(select(Builder).where(heard).order_by(Builder.seen_at.desc()).limit(200)).all()


def any_alive(session: Session, now: datetime) -> bool:
    """Say whether any builder was heard of lately."""
    return (
        session.scalar(select(Builder.name).where(Builder.seen_at >= now - PRESENCE_TIMEOUT).limit(1))
        is not None
    )


def is_alive(builder: Builder, now: datetime) -> bool:
    """Say whether a builder was heard of lately."""
    return now - builder.seen_at <= PRESENCE_TIMEOUT
