"""The one read behind a lookup: a repository, where its refs stand, and the image of that commit.

A lookup stands in front of every server start, so it is one statement over three unique indices, run on the
driver. `db.queries.badge_status` asks the same rows for a badge.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Select, Text, and_, bindparam, literal_column, null, select

from base.repository_names import name_key
from db.database import Database
from db.models import Image, RefHead, Repository
from db.sql import driver

T = TypeVar("T")
ColumnsOf = Callable[[Any, Any, Any], Sequence[Any]]

MAX_REFS = 3
"""How many full refs one name can stand for."""


class LookupRow(NamedTuple):
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


class LookupQuery(Generic[T]):
    """One statement for each way to ask for the same columns: by refs, by a commit, for the default branch.

    `columns` are of the repository, of where the ref stands, which it is given (`ref`, `commit` and `learnt_at`;
    of a commit that was asked for, `commit` alone is not NULL), and of the image of that commit.
    """

    def __init__(self, columns: ColumnsOf, make: Callable[[driver.Row], T]) -> None:
        self._make = make
        one_of = RefHead.ref.in_([bindparam(f"ref{number}") for number in range(MAX_REFS)])
        default_branch = literal_column("'refs/heads/'", Text) + Repository.default_branch
        self._of_refs = _statement(columns, one_of)
        self._of_default_branch = _statement(columns, RefHead.ref == default_branch)
        self._of_commit = _statement(columns, None)

    def __call__(
        self,
        database: Database,
        provider: str,
        full_name: str,
        recipe: str,
        *,
        commit: str | None = None,
        refs: Sequence[str] = (),
    ) -> list[T]:
        """Return what is recorded of a commit, else of full refs (MAX_REFS at most, in no order), else of the
        default branch; [] for an unknown repository.
        """
        values = {"provider": provider, "name": name_key(full_name), "recipe": recipe}
        if commit is not None:
            statement, values["commit"] = self._of_commit, commit
        elif refs:
            statement, spelt = self._of_refs, [*refs, *([""] * (MAX_REFS - len(refs)))]
            values |= {f"ref{number}": ref for number, ref in enumerate(spelt)}
        else:
            statement = self._of_default_branch
        return [self._make(row) for row in driver.read(database, statement, values)]


def _statement(columns: ColumnsOf, which: ColumnElement[bool] | None) -> Select[Any]:
    """Build the statement for the refs that `which` selects, or for a commit where it is None."""
    commit: ColumnElement[Any] = bindparam("commit") if which is None else RefHead.commit.expression
    head = (null(), commit, null()) if which is None else (RefHead.ref, commit, RefHead.learnt_at)
    tables = select(*columns(*head)).select_from(Repository)
    if which is not None:
        tables = tables.outerjoin(RefHead, and_(RefHead.repository_id == Repository.id, which))
    of_commit = and_(
        Image.repository_id == Repository.id, Image.commit == commit, Image.recipe == bindparam("recipe")
    )
    named = and_(Repository.provider == bindparam("provider"), Repository.name_key == bindparam("name"))
    return tables.outerjoin(Image, of_commit).where(named)


_REPOSITORY = (
    Repository.id,
    Repository.full_name,
    Repository.default_branch,
    Repository.webhook_since,
    Repository.private,
    Repository.private_known,
)
_IMAGE = (Image.id, Image.name, Image.digest, Image.built_at, Image.last_used_at)
find_rows = LookupQuery(lambda *head: (*_REPOSITORY, *head, *_IMAGE), LookupRow._make)
