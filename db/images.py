"""The image's name, shared by the side that builds it and the side that looks it up; and the image records."""

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.orm import Session, joinedload

from db import driver
from db.github import is_at_github
from db.insert import upsert
from db.models import Build, Image, RefHead

REPO2DOCKER_VERSION = "2026.4.0"
"""The version that the builder installs: part of each recipe, known here so that a web host need not have it."""

RECIPE_VERSION = 1
"""Raised by a release whose builder makes other images from the same repository."""

# One path component of an OCI name, distribution-spec "Pulling manifests".
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_ELSEWHERE = "git__elsewhere"


def recipe(*, base_image: str | None, buildpacks: Sequence[str], repo_dir: str | None = None) -> str:
    """Return a short hash of all that changes an image besides the commit it is built from."""
    parts: dict[str, object] = {
        "recipe": RECIPE_VERSION,
        "repo2docker": REPO2DOCKER_VERSION,
        "base_image": base_image,
        "buildpacks": list(buildpacks),
    }
    if repo_dir is not None:  # so that images made without it keep their names
        parts["repo_dir"] = repo_dir
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def image_name(
    repository: str, commit: str, recipe: str, *, prefix: str = "", registry: str | None = None
) -> str:
    """Return the full reference, `[registry/]prefix + owner/name:commit-recipe`, that an image is stored under.

    GitHub's names are case-insensitive and may hold what an OCI name may not (a leading dot, `--`): such a
    component is rewritten and gets a hash of the original, so that two repositories never share a name. Two
    underscores cannot stand in a GitHub owner, which is why a rewritten owner is unlike every real one; a dot
    would make the engine take the owner for a registry's host where nothing stands before it.

    A repository of another server is named by its address; all of these have an owner that is unlike the others.
    """
    if is_at_github(repository):
        owner, name = (_component(part) for part in repository.lower().partition("/")[::2])
    else:
        owner, name = _ELSEWHERE, _hashed(repository, repository.partition("://")[2].lower())
    path = f"{prefix}{owner}/{name}:{commit}-{recipe}"
    return f"{registry_host(registry)}/{path}" if registry else path


def registry_host(url: str) -> str:
    """Return the `host[:port][/path]` of a registry's address, as image references begin with it."""
    return re.sub(r"^https?://", "", url).rstrip("/")


def is_in_registry(name: str) -> bool:
    """Tell whether an image's name begins with a registry's host, by the rule that engines have for it."""
    first, slash, _ = name.partition("/")
    return bool(slash) and (first == "localhost" or bool(set(".:") & set(first)))


def _hashed(address: str, readable: str) -> str:
    """Return a component for an address: as long a hash as keeps anybody from finding a second one."""
    legal = re.sub(r"[^a-z0-9]+", "-", readable)[:80].strip("-") or "x"
    return f"{legal}__x{hashlib.sha256(address.encode()).hexdigest()[:32]}"


def _component(text: str) -> str:
    if _COMPONENT.fullmatch(text):
        return text
    legal = re.sub(r"[^a-z0-9]+", "-", text).strip("-") or "x"
    return f"{legal}__x{hashlib.sha256(text.encode()).hexdigest()[:12]}"


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


def _where_it_stands(*which: ColumnElement[bool]) -> ColumnElement[int | None]:
    """Of a ref: the build that made the image of the commit it stands at, else of the one it stood at before.

    It may have been another ref's: a merge that is a fast-forward builds nothing.
    """

    def of(commit: ColumnElement[str | None]) -> ColumnElement[int | None]:
        made = select(func.max(Image.build_id)).join(Build, Build.id == Image.build_id)
        made = made.where(Image.repository_id == RefHead.repository_id, Image.commit == commit, *which)
        return made.correlate(RefHead).scalar_subquery()

    return func.coalesce(of(RefHead.commit.expression), of(RefHead.previous.expression))


def _last_good() -> Select[Any]:
    def is_of_ref(table: type[RefHead | Build]) -> ColumnElement[bool]:
        return and_(table.repository_id == bindparam("repository_id"), table.ref == bindparam("ref"))

    standing = select(_where_it_stands()).where(is_of_ref(RefHead))
    own = select(Build.id).join(Image, Image.build_id == Build.id)
    own = own.where(is_of_ref(Build)).order_by(Build.id.desc())
    own = own.limit(literal_column("1"))  # in the text: PostgreSQL plans for a limit that it knows
    newest = func.coalesce(standing.scalar_subquery(), own.scalar_subquery())
    return select(Image).where(Image.build_id == newest)


_LAST_GOOD = _last_good()


def last_good(session: Session, repository_id: int, ref: str) -> Image | None:
    """Return the newest image of a ref: of the commit where it stands, else of the one before, else its last one.

    The image that was made last may be of an older commit: its push came late, or somebody built it again.
    """
    found: Image | None = session.scalar(_LAST_GOOD, {"repository_id": repository_id, "ref": ref})
    return found


class OfRef(NamedTuple):
    """The newest image of a ref, with the build that made it."""

    ref: str
    image: Image
    build: Build


def newest_of_refs(
    session: Session, recipe: str, *, visible: ColumnElement[bool], limit: int
) -> Sequence[OfRef]:
    """Return the newest image (see `last_good`) of each ref that has one by this recipe, the newest first.

    `visible` is a condition on Build that says which of them. A ref that was deleted is left out.
    """
    which = (Image.recipe == recipe, visible)
    standing = _where_it_stands(*which).label("build_id")
    head = select(RefHead.repository_id, RefHead.ref, RefHead.commit, standing).cte("head")
    own = (
        select(Build.repository_id, Build.ref, func.max(Image.build_id).label("build_id"))
        .join(Image, Image.build_id == Build.id)
        .where(*which)
        .group_by(Build.repository_id, Build.ref)
        .subquery("own")
    )
    its_head = and_(head.c.repository_id == own.c.repository_id, head.c.ref == own.c.ref)
    is_there = head.c.commit.is_not(None)
    newest = union_all(
        select(head.c.ref, head.c.build_id).where(is_there, head.c.build_id.is_not(None)),
        select(own.c.ref, own.c.build_id)
        .outerjoin(head, its_head)
        .where(or_(head.c.ref.is_(None), and_(is_there, head.c.build_id.is_(None)))),
    ).subquery("newest")
    statement = (
        select(newest.c.ref, Image, Build)
        .join(Image, Image.build_id == newest.c.build_id)
        .join(Build, Build.id == Image.build_id)
        .options(joinedload(Build.repository))
        .where(Image.recipe == recipe)
        .order_by(Image.build_id.desc(), newest.c.ref)
        .limit(limit)
    )
    return [OfRef._make(row) for row in session.execute(statement)]


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


def touch(session: Session, image: Image, now: datetime) -> None:
    """Note that somebody asked for the image, which keeps housekeeping off it."""
    session.execute(update(Image).where(Image.id == image.id).values(last_used_at=now))
