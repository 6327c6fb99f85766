"""The images on record: one for each repository, commit and recipe."""

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
    """Return the image of exactly this commit and recipe."""
    key = {"repository_id": repository_id, "commit": commit, "recipe": recipe}
    # By a plain column first: each push asks, and mostly there is none.
    found = driver.execute(session, _ID_OF_COMMIT_AND_RECIPE, key)
    return session.get(Image, found[0][0]) if found else None


def newest_of_commit(session: Session, repository_id: int, commit: str) -> Image | None:
    """Return the newest image of this commit, whichever recipe made it."""
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
    """Write the image that `build` made; a rebuild of the same commit and recipe replaces the record."""
    key = {"repository_id": build.repository_id, "commit": build.commit, "recipe": recipe}
    values = {"build_id": build.id, "name": name, "digest": digest, "size": size, "built_at": now}
    upsert(session, Image, key=key, values=values)


def record_use(session: Session, image: Image, now: datetime) -> None:
    """Note that somebody asked for the image, which keeps housekeeping off it."""
    session.execute(update(Image).where(Image.id == image.id).values(last_used_at=now))
