"""Read the figures of the admin overview at a bounded cost: the queue, recent builds, and image storage."""

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
"""The maximum number of builds, the newest ones, that the figures of recent days use."""


class QueueDepth(NamedTuple):
    """The numbers of queued and running builds, and when the first queued build was due."""

    queued: int
    running: int
    oldest: datetime | None


class EndedBuild(NamedTuple):
    """The outcome of a build."""

    status: str
    cause: str | None
    """Why the build failed or was cancelled."""
    seconds: float | None
    """The duration of the last attempt, or None if the build did not start."""


class StoredImages(NamedTuple):
    """The number of recorded images and their size in bytes. Shared layers count once per image."""

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
    """Return the builds that ended since the given time among the newest MAX_BUILDS, newest first."""
    rows = session.execute(_ENDED_SINCE, {"since": since, "most": MAX_BUILDS}).all()
    return list(map(EndedBuild._make, rows))


def stored_images(session: Session) -> StoredImages:
    """Return the number and total size of the recorded images."""
    total = session.execute(select(ImageTotal.images, ImageTotal.bytes)).one_or_none()
    return StoredImages(0, 0) if total is None else StoredImages(*total)


def _ended_since() -> Select[Any]:
    build = Base.metadata.tables["build"]
    duration = extract("epoch", build.c.finished_at) - extract(
        "epoch", func.coalesce(build.c.fetching_at, build.c.started_at, type_=build.c.started_at.type)
    )
    # Plain text and floats: converting 2,000 rows to our types would take most of the page's time.
    newest = (
        select(
            type_coerce(build.c.status, String).label("status"),
            type_coerce(func.coalesce(build.c.cause, build.c.reason), String).label("cause"),
            cast(case((duration < 0, 0), else_=duration), Float).label("seconds"),
            build.c.finished_at,
            build.c.id,
        )
        # Ordered by id, like all pages: the order of `finished_at` would need another index.
        .where(IS_FINAL)
        .order_by(build.c.id.desc())
        .limit(bindparam("most", type_=Integer))
        .subquery("newest")
    )
    since = newest.c.finished_at >= bindparam("since", type_=build.c.finished_at.type)
    return select(newest.c.status, newest.c.cause, newest.c.seconds).where(since).order_by(newest.c.id.desc())


_ENDED_SINCE = _ended_since()
