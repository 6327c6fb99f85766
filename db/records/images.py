"""The records of images: one for each repository, commit and recipe."""

from datetime import datetime

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from db.models import Build, Image
from db.sql import driver
from db.sql.insert import upsert

_TABLE = Image.metadata.tables["image"]
_ID_OF_COMMIT_AND_RECIPE = select(_TABLE.c.id).where(
    _TABLE.c.repository_id == bindparam("repository_id"),
    _TABLE.c.commit == bindparam("commit"),
    _TABLE.c.recipe == bindparam("recipe"),
)


def find(session: Session, repository_id: int, commit: str, recipe: str) -> Image | None:
    """Return the image of this commit and recipe, or None."""
    key = {"repository_id": repository_id, "commit": commit, "recipe": recipe}
    # Look up the id first, which is faster than loading an Image: every push asks, and usually there is none.
    found = driver.execute(session, _ID_OF_COMMIT_AND_RECIPE, key)
    return session.get(Image, found[0][0]) if found else None


def newest_of_commit(session: Session, repository_id: int, commit: str) -> Image | None:
    """Return the newest image of this commit with any recipe, or None."""
    return session.scalar(
        select(Image)
        .where(Image.repository_id == repository_id, Image.commit == commit)
        .order_by(Image.built_at.desc())
        .limit(1)
    )


def record(
    session: Session,
    *,
    build: Build,
    recipe: str,
    name: str,
    digest: str | None,
    size: int | None,
    now: datetime,
) -> None:
    """Record the image that `build` made, replacing the record of the same commit and recipe."""
    key = {"repository_id": build.repository_id, "commit": build.commit, "recipe": recipe}
    values = {"build_id": build.id, "name": name, "digest": digest, "size": size, "built_at": now}
    upsert(session, Image, key=key, values=values)


def record_use(session: Session, image: Image, now: datetime) -> None:
    """Record that the image was requested, so that the cleanup keeps it."""
    session.execute(update(Image).where(Image.id == image.id).values(last_used_at=now))
