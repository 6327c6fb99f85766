"""What may be removed: images that nobody uses, and logs and deliveries of long ago.

The image of the commit that a ref stands at is never among them, nor are the newest few of each ref. A branch that
was deleted keeps nothing: else each that ever was would keep its images for good.
"""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, CursorResult, and_, delete, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from db.models import IS_ACTIVE, Build, Delivery, Image, LogChunk, RefHead, Repository
from db.sql.insert import insert_missing
from db.status import FINAL

_BATCH = 500


class UnusedImage(NamedTuple):
    """An image that may go."""

    image_id: int
    repository: str
    ref: str
    name: str
    size: int | None
    """Bytes in the engine, shared layers counted in each image."""
    used_at: datetime


def unused_images(session: Session, *, unused_since: datetime, keep: int) -> list[UnusedImage]:
    """Return the images that nobody has asked for since then, the oldest first.

    The newest `keep` of each ref that is not known to be deleted, 1 at least, are not among them, nor is an image
    that a ref's head needs, whichever ref it was built for.
    """
    of_ref = func.row_number().over(
        partition_by=(Image.repository_id, Build.ref), order_by=Image.build_id.desc()
    )
    ranked = (
        select(Image.id, Build.ref, of_ref.label("place"), _ref_is_gone().label("is_gone"))
        .join(Build, Build.id == Image.build_id)
        .subquery("ranked")
    )
    used_at = func.coalesce(Image.last_used_at, Image.built_at)
    rows = session.execute(
        select(Image.id, Repository.full_name, ranked.c.ref, Image.name, Image.size, used_at)
        .join(ranked, ranked.c.id == Image.id)
        .join(Repository, Repository.id == Image.repository_id)
        .where(or_(ranked.c.place > max(keep, 1), ranked.c.is_gone), _is_unused_since(unused_since))
        .order_by(used_at, Image.id)
    )
    return [UnusedImage(*row) for row in rows]


def remove_image_record(session: Session, image_id: int, *, unused_since: datetime) -> dict[str, Any] | None:
    """Remove an image's record if it is still unused, and return it for `restore_image_record`; None where it is not.

    From the commit on no lookup gives the image out.
    """
    removed = session.execute(
        delete(Image)
        .where(Image.id == image_id, _is_unused_since(unused_since))
        .returning(*Image.__table__.columns)
    )
    row = removed.mappings().one_or_none()
    return None if row is None else dict(row)


def is_needed_again(session: Session, record: dict[str, Any]) -> bool:
    """Say whether what `remove_image_record` returned was built again meanwhile, or is being built."""
    commit = {"repository_id": record["repository_id"], "commit": record["commit"]}
    image = select(Image.id).where(Image.name == record["name"]).limit(1)
    return (
        session.scalar(image) is not None
        or session.scalar(select(Build.id).filter_by(**commit).where(IS_ACTIVE)) is not None
    )


def restore_image_record(session: Session, record: dict[str, Any]) -> None:
    """Put back what `remove_image_record` returned, unless it was built again meanwhile."""
    key = {name: record[name] for name in ("repository_id", "commit", "recipe")}
    # Its id may be another image's by now.
    values = {name: value for name, value in record.items() if name != "id"}
    insert_missing(session, Image, [values], key=key)


def count_old_logs(session: Session, *, before: datetime) -> int:
    """Return how many builds that ended before then have a log, but for the newest of each ref that is there."""
    return session.scalar(select(func.count()).select_from(Build).where(_has_old_log(before))) or 0


def remove_old_logs(session: Session, *, before: datetime) -> int:
    """Remove the logs of some of those builds, and return of how many; 0 when none is left."""
    some = list(
        session.scalars(select(Build.id).where(_has_old_log(before)).order_by(Build.id).limit(_BATCH))
    )
    session.execute(delete(LogChunk).where(LogChunk.build_id.in_(some)))
    return len(some)


def count_old_deliveries(session: Session, *, before: datetime) -> int:
    """Return how many deliveries arrived before then."""
    found = select(func.count()).select_from(Delivery).where(Delivery.received_at < before)
    return session.scalar(found) or 0


def remove_old_deliveries(session: Session, *, before: datetime) -> int:
    """Remove some of them, and return how many; 0 when none is left."""
    some = select(Delivery.guid).where(Delivery.received_at < before).limit(_BATCH)
    result = session.execute(delete(Delivery).where(Delivery.guid.in_(some.scalar_subquery())))
    assert isinstance(result, CursorResult)  # noqa: S101 -- a DELETE always gives one
    return result.rowcount


def _is_unused_since(since: datetime) -> ColumnElement[bool]:
    stands_there = exists().where(
        RefHead.repository_id == Image.repository_id, RefHead.commit == Image.commit
    )
    # A repository that took another's name has its images' names, too, where the commits are the same.
    other = aliased(Image)
    is_anothers = exists().where(other.name == Image.name, other.id != Image.id)
    return and_(func.coalesce(Image.last_used_at, Image.built_at) < since, ~stands_there, ~is_anothers)


def _ref_is_gone() -> ColumnElement[bool]:
    """Of a build: whether its ref is known to be deleted."""
    here = (RefHead.repository_id == Build.repository_id, RefHead.ref == Build.ref)
    return exists().where(*here, RefHead.commit.is_(None)).correlate(Build)


def _has_old_log(before: datetime) -> ColumnElement[bool]:
    refs = select(func.max(Build.id)).where(~_ref_is_gone()).group_by(Build.repository_id, Build.ref)
    newest = refs.scalar_subquery()
    has_log = exists().where(LogChunk.build_id == Build.id)
    return and_(Build.status.in_(FINAL), Build.finished_at < before, Build.id.not_in(newest), has_log)
