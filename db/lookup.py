"""The one read behind a lookup: a repository, where its refs stand, and the image of that commit.

A lookup stands in front of every server start, so it is one statement over three unique indices, run on the
driver.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, Text, and_, bindparam, literal_column, null, select

from db import driver
from db.engine import Database
from db.models import Image, RefHead, Repository
from db.repositories import name_key

MAX_REFS = 3
"""How many full refs one name can stand for."""


class Recorded(NamedTuple):
    """What is recorded of a repository, of one of its refs or a commit, and of the image of that commit."""

    repository_id: int
    full_name: str
    default_branch: str | None
    webhook_since: datetime | None
    private: bool
    private_known: bool
    """False: whether it is private is still to be learnt."""
    ref: str | None
    """None where the refs asked for are not recorded, or a commit was asked for."""
    commit: str | None
    """None where the ref is not recorded or was deleted."""
    learnt_at: datetime | None
    image_id: int | None
    """None where the commit has no image of the recipe; then the columns below are None too."""
    image: str | None
    digest: str | None
    built_at: datetime | None
    last_used_at: datetime | None


def _statement(which: ColumnElement[bool] | None) -> Select[Any]:
    """Build the statement for the refs that `which` selects, or for a commit where it is None."""
    commit: ColumnElement[Any] = bindparam("commit") if which is None else RefHead.commit.expression
    head = (null(), commit, null()) if which is None else (RefHead.ref, commit, RefHead.learnt_at)
    image = (Image.id, Image.name, Image.digest, Image.built_at, Image.last_used_at)
    repository = (
        Repository.id,
        Repository.full_name,
        Repository.default_branch,
        Repository.webhook_since,
        Repository.private,
        Repository.private_known,
    )
    tables = select(*repository, *head, *image).select_from(Repository)
    if which is not None:
        tables = tables.outerjoin(RefHead, and_(RefHead.repository_id == Repository.id, which))
    of_commit = and_(
        Image.repository_id == Repository.id, Image.commit == commit, Image.recipe == bindparam("recipe")
    )
    named = and_(Repository.provider == bindparam("provider"), Repository.name_key == bindparam("name"))
    return tables.outerjoin(Image, of_commit).where(named)


_REFS = _statement(RefHead.ref.in_([bindparam(f"ref{number}") for number in range(MAX_REFS)]))
_DEFAULT_BRANCH = _statement(RefHead.ref == literal_column("'refs/heads/'", Text) + Repository.default_branch)
_COMMIT = _statement(None)


def refs(
    database: Database, provider: str, full_name: str, wanted: Sequence[str], recipe: str
) -> list[Recorded]:
    """Return what is recorded of these full refs, MAX_REFS at most, in no order; [] for an unknown repository."""
    spelt = [*wanted, *([""] * (MAX_REFS - len(wanted)))]
    return _read(
        database, _REFS, provider, full_name, recipe, **{f"ref{n}": ref for n, ref in enumerate(spelt)}
    )


def default_branch(database: Database, provider: str, full_name: str, recipe: str) -> list[Recorded]:
    """Return what is recorded of the default branch: one, or none for an unknown repository."""
    return _read(database, _DEFAULT_BRANCH, provider, full_name, recipe)


def commit(database: Database, provider: str, full_name: str, commit: str, recipe: str) -> list[Recorded]:
    """Return what is recorded of a commit: one, or none for an unknown repository."""
    return _read(database, _COMMIT, provider, full_name, recipe, commit=commit)


def _read(
    database: Database, statement: Select[Any], provider: str, full_name: str, recipe: str, **values: str
) -> list[Recorded]:
    values |= {"provider": provider, "name": name_key(full_name), "recipe": recipe}
    return [Recorded._make(row) for row in driver.read(database, statement, values)]
