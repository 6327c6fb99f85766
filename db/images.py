"""The image's name, shared by the side that builds it and the side that looks it up; and the image records."""

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, func, select, update
from sqlalchemy.orm import Session, joinedload

from db import driver
from db.github import is_at_github
from db.insert import upsert
from db.models import Build, Image

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


def last_good(session: Session, repository_id: int, ref: str) -> Image | None:
    """Return the image of the newest successful build of `ref`, or None."""
    return session.scalar(
        select(Image)
        .join(Build, (Build.id == Image.build_id))
        .where(Build.repository_id == repository_id, Build.ref == ref)
        .order_by(Build.id.desc())
        .limit(1)
    )


def newest_of_refs(
    session: Session, recipe: str, *, visible: ColumnElement[bool], limit: int
) -> Sequence[tuple[Image, Build]]:
    """Return the newest image of each ref that has one by this recipe, with its build, the newest first.

    `visible` is a condition on Build that says which of them.
    """
    newest = (
        select(func.max(Image.build_id))
        .join(Build, Build.id == Image.build_id)
        .where(Image.recipe == recipe, visible)
        .group_by(Build.repository_id, Build.ref)
    )
    statement = (
        select(Image, Build)
        .join(Build, Build.id == Image.build_id)
        .options(joinedload(Build.repository))
        .where(Image.build_id.in_(newest), Image.recipe == recipe)
        .order_by(Image.build_id.desc())
        .limit(limit)
    )
    return [(image, build) for image, build in session.execute(statement)]


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
