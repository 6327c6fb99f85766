"""Figures for admins: what waits, how builds went lately, what the images take. Each at a bounded cost."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Float,
    Integer,
    Select,
    String,
    bindparam,
    case,
    cast,
    extract,
    func,
    select,
    type_coerce,
)
from sqlalchemy.orm import Session

from db.columns import Base
from db.models import IS_FINAL, IS_QUEUED, IS_RUNNING, Build, ImageTotal

MAX_BUILDS = 2_000
"""How many builds the figures of the last days are taken of, the newest."""


class QueueDepth(NamedTuple):
    """How much waits and runs, and since when the first that waits could have begun."""

    queued: int
    running: int
    oldest: datetime | None


class EndedBuild(NamedTuple):
    """How one build went; `seconds` is its last attempt's length, None where it never began."""

    status: str
    cause: str | None
    """Why it did not become ready."""
    seconds: float | None


class StoredImages(NamedTuple):
    """How many images are on record, and their bytes, of which those of shared layers count more than once."""

    images: int
    bytes: int


def queue_depth(session: Session) -> QueueDepth:
    """Return the depth of the queue."""
    queued, oldest = session.execute(
        select(func.count(), func.min(Build.run_after)).select_from(Build).where(IS_QUEUED)
    ).one()
    running = session.scalar(select(func.count()).select_from(Build).where(IS_RUNNING)) or 0
    return QueueDepth(queued, running, oldest)


def ended_since(session: Session, since: datetime) -> Sequence[EndedBuild]:
    """Return how builds went that ended since a moment, the newest MOST of them."""
    rows = session.execute(_ENDED_SINCE, {"since": since, "most": MAX_BUILDS}).all()
    return list(map(EndedBuild._make, rows))


def stored_images(session: Session) -> StoredImages:
    """Return what the images on record take."""
    total = session.execute(select(ImageTotal.images, ImageTotal.bytes)).one_or_none()
    return StoredImages(0, 0) if total is None else StoredImages(*total)


def _ended_since() -> Select[Any]:
    build = Base.metadata.tables["build"]
    took = extract("epoch", build.c.finished_at) - extract(
        "epoch", func.coalesce(build.c.fetching_at, build.c.started_at, type_=build.c.started_at.type)
    )
    # Words and numbers as the database has them: made into ours, two thousand rows take most of the page's time.
    newest = (
        select(
            type_coerce(build.c.status, String).label("status"),
            type_coerce(func.coalesce(build.c.cause, build.c.reason), String).label("cause"),
            cast(case((took < 0, 0), else_=took), Float).label("seconds"),
            build.c.finished_at,
            build.c.id,
        )
        # By id, which every page is read by, and not by the time of their end, which would need one more index.
        .where(IS_FINAL)
        .order_by(build.c.id.desc())
        .limit(bindparam("most", type_=Integer))
        .subquery("newest")
    )
    since = newest.c.finished_at >= bindparam("since", type_=build.c.finished_at.type)
    return select(newest.c.status, newest.c.cause, newest.c.seconds).where(since).order_by(newest.c.id.desc())


_ENDED_SINCE = _ended_since()
