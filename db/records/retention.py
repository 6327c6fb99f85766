"""Find and remove unused images, old logs and old deliveries.

Images of the current commit of a ref, and the newest images of each ref, always stay. A deleted ref keeps no
images: otherwise every branch that ever existed would keep some forever.
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
    """An image that can be removed."""

    image_id: int
    repository: str
    ref: str
    name: str
    size: int | None
    """The size in bytes in the engine. Layers that images share count in each of them."""
    used_at: datetime


def unused_images(session: Session, *, unused_since: datetime, keep: int) -> list[UnusedImage]:
    """Return the images that were not requested since `unused_since`, the longest unused first.

    Leaves out the newest `keep` images (at least 1) of each ref that is not deleted, and every image of a commit
    that any ref points at.
    """
    of_ref = func.row_number().over(
        partition_by=(Image.repository_id, Build.ref), order_by=Image.build_id.desc()
    )
    ranked = (
        select(Image.id, Build.ref, of_ref.label("rank"), _is_ref_deleted().label("is_ref_deleted"))
        .join(Build, Build.id == Image.build_id)
        .subquery("ranked")
    )
    used_at = func.coalesce(Image.last_used_at, Image.built_at)
    rows = session.execute(
        select(Image.id, Repository.full_name, ranked.c.ref, Image.name, Image.size, used_at)
        .join(ranked, ranked.c.id == Image.id)
        .join(Repository, Repository.id == Image.repository_id)
        .where(or_(ranked.c.rank > max(keep, 1), ranked.c.is_ref_deleted), _is_unused_since(unused_since))
        .order_by(used_at, Image.id)
    )
    return [UnusedImage(*row) for row in rows]


def remove_image_record(session: Session, image_id: int, *, unused_since: datetime) -> dict[str, Any] | None:
    """Remove the record of an image if it is still unused, so that lookups no longer return the image.

    Return the record for `restore_image_record`, or None if the image is in use or gone.
    """
    removed = session.execute(
        delete(Image)
        .where(Image.id == image_id, _is_unused_since(unused_since))
        .returning(*Image.__table__.columns)
    )
    row = removed.mappings().one_or_none()
    return None if row is None else dict(row)


def is_needed_again(session: Session, record: dict[str, Any]) -> bool:
    """Return whether a removed image was built again, or its commit is being built."""
    commit = {"repository_id": record["repository_id"], "commit": record["commit"]}
    image = select(Image.id).where(Image.name == record["name"]).limit(1)
    return (
        session.scalar(image) is not None
        or session.scalar(select(Build.id).filter_by(**commit).where(IS_ACTIVE)) is not None
    )


def restore_image_record(session: Session, record: dict[str, Any]) -> None:
    """Restore a record that `remove_image_record` returned, unless the image was built again."""
    key = {name: record[name] for name in ("repository_id", "commit", "recipe")}
    # Another image may have the id by now.
    values = {name: value for name, value in record.items() if name != "id"}
    insert_missing(session, Image, [values], key=key)


def count_old_logs(session: Session, *, before: datetime) -> int:
    """Return the number of builds with a log that ended before the given time.

    The newest build of each ref that is not deleted does not count: its log stays.
    """
    return session.scalar(select(func.count()).select_from(Build).where(_has_old_log(before))) or 0


def find_old_logs(session: Session, *, before: datetime) -> list[int]:
    """Return one batch of the builds that `count_old_logs` counts, for `LogStore.remove`; [] if none is left."""
    batch = select(Build.id).where(_has_old_log(before)).order_by(Build.id).limit(_BATCH)
    return list(session.scalars(batch))


def count_old_deliveries(session: Session, *, before: datetime) -> int:
    """Return the number of deliveries received before the given time."""
    found = select(func.count()).select_from(Delivery).where(Delivery.received_at < before)
    return session.scalar(found) or 0


def remove_old_deliveries(session: Session, *, before: datetime) -> int:
    """Remove one batch of the deliveries received before the given time. Return how many, 0 if none is left."""
    batch = select(Delivery.guid).where(Delivery.received_at < before).limit(_BATCH)
    result = session.execute(delete(Delivery).where(Delivery.guid.in_(batch.scalar_subquery())))
    assert isinstance(result, CursorResult)  # noqa: S101 -- a DELETE always gives one
    return result.rowcount


def _is_unused_since(since: datetime) -> ColumnElement[bool]:
    is_of_head = exists().where(RefHead.repository_id == Image.repository_id, RefHead.commit == Image.commit)
    # A repository that took over another's name also shares the names of its images for equal commits.
    other = aliased(Image)
    is_shared = exists().where(other.name == Image.name, other.id != Image.id)
    return and_(func.coalesce(Image.last_used_at, Image.built_at) < since, ~is_of_head, ~is_shared)


def _is_ref_deleted() -> ColumnElement[bool]:
    """Match builds whose ref is known to be deleted."""
    of_ref = (RefHead.repository_id == Build.repository_id, RefHead.ref == Build.ref)
    return exists().where(*of_ref, RefHead.commit.is_(None)).correlate(Build)


def _has_old_log(before: datetime) -> ColumnElement[bool]:
    newest_of_refs = (
        select(func.max(Build.id)).where(~_is_ref_deleted()).group_by(Build.repository_id, Build.ref)
    )
    newest = newest_of_refs.scalar_subquery()
    has_log = exists().where(LogChunk.build_id == Build.id)
    return and_(Build.status.in_(FINAL), Build.finished_at < before, Build.id.not_in(newest), has_log)
