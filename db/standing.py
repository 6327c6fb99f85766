"""How a ref stands, in one word: the one read behind a badge.

A badge is asked for by everybody who looks at a README, so it is one statement over unique indices and the end of
`ix_build_commit`, however long the history is; it is run on the driver.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, Text, and_, bindparam, literal_column, null, select

from db import driver
from db.engine import Database
from db.lookup import MAX_REFS
from db.models import Build, Image, RefHead, Repository
from db.repositories import name_key
from db.status import Status


class Standing(StrEnum):
    """What a badge says."""

    READY = "ready"
    """The ref's commit has its image."""
    BUILDING = "building"
    """It has none, and its build waits or runs."""
    FAILED = "failed"
    """It has none, and its last build failed."""
    NONE = "none"
    """There is nothing to tell: not known, never built, cancelled, made by another recipe."""


class Found(NamedTuple):
    """How one of the refs asked for stands, and what tells who may know it."""

    full_name: str
    private: bool
    private_known: bool
    ref: str | None
    commit: str | None
    """None where the ref is not recorded or was deleted."""
    standing: Standing


_OF_STATUS = {
    Status.QUEUED: Standing.BUILDING,
    Status.RUNNING: Standing.BUILDING,
    Status.FAILED: Standing.FAILED,
}


def _statement(which: ColumnElement[bool] | None) -> Select[Any]:
    """Build the statement for the refs that `which` selects, or for a commit where it is None."""
    commit: ColumnElement[Any] = bindparam("commit") if which is None else RefHead.commit.expression
    recipe: ColumnElement[Any] = bindparam("recipe")
    last_status = (
        select(Build.status)
        .where(Build.repository_id == Repository.id, Build.commit == commit, Build.recipe == recipe)
        .order_by(Build.id.desc())
        # Both in the text: PostgreSQL plans for a limit that it knows. SQLite's dialect would bind an offset.
        .limit(literal_column("1"))
        .offset(literal_column("0"))
        .correlate(Repository, RefHead)
        .scalar_subquery()
    )
    ref = null() if which is None else RefHead.ref
    repository = (Repository.full_name, Repository.private, Repository.private_known)
    columns = (*repository, ref, commit, Image.id, last_status)
    tables = select(*columns).select_from(Repository)
    if which is not None:
        tables = tables.outerjoin(RefHead, and_(RefHead.repository_id == Repository.id, which))
    image = and_(Image.repository_id == Repository.id, Image.commit == commit, Image.recipe == recipe)
    named = and_(Repository.provider == bindparam("provider"), Repository.name_key == bindparam("name"))
    return tables.outerjoin(Image, image).where(named)


_REFS = _statement(RefHead.ref.in_([bindparam(f"ref{number}") for number in range(MAX_REFS)]))
_DEFAULT_BRANCH = _statement(RefHead.ref == literal_column("'refs/heads/'", Text) + Repository.default_branch)
_COMMIT = _statement(None)


def of_refs(
    database: Database, provider: str, full_name: str, wanted: Sequence[str], recipe: str
) -> Found | None:
    """Return how the first of these full refs that stands at a commit does, MAX_REFS at most.

    None for an unknown repository.
    """
    spelt = [*wanted, *([""] * (MAX_REFS - len(wanted)))]
    refs = {f"ref{number}": ref for number, ref in enumerate(spelt)}
    found = _read(database, _REFS, provider, full_name, recipe, **refs)
    known = {one.ref: one for one in found if one.commit}
    return next((known[ref] for ref in wanted if ref in known), found[0] if found else None)


def of_default_branch(database: Database, provider: str, full_name: str, recipe: str) -> Found | None:
    """Return how the default branch stands; None for an unknown repository."""
    return next(iter(_read(database, _DEFAULT_BRANCH, provider, full_name, recipe)), None)


def of_commit(database: Database, provider: str, full_name: str, commit: str, recipe: str) -> Found | None:
    """Return how a commit stands; None for an unknown repository."""
    return next(iter(_read(database, _COMMIT, provider, full_name, recipe, commit=commit)), None)


def _read(
    database: Database, statement: Select[Any], provider: str, full_name: str, recipe: str, **values: str
) -> list[Found]:
    values |= {"provider": provider, "name": name_key(full_name), "recipe": recipe}
    return [
        Found(name, private, known, ref, commit, _standing(image_id, status))
        for name, private, known, ref, commit, image_id, status in driver.read(database, statement, values)
    ]


def _standing(image_id: int | None, last_status: Status | None) -> Standing:
    if image_id is not None:
        return Standing.READY
    return Standing.NONE if last_status is None else _OF_STATUS.get(last_status, Standing.NONE)
