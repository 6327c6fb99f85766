"""Read a repository, the commits of its refs, and the images of those commits in one statement.

Every server start waits for a lookup, so the statement uses three unique indexes and runs directly on the driver.
`db.queries.badge_status` reads the same rows for a badge.
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
"""The maximum number of full refs that one name can stand for."""


class LookupRow(NamedTuple):
    """The records of a repository, of one of its refs or a commit, and of the image of that commit."""

    repository_id: int
    full_name: str
    default_branch: str | None
    webhook_since: datetime | None
    private: bool
    private_known: bool
    """Whether the value of `private` is known."""
    ref: str | None
    """None if none of the requested refs is recorded, or if a commit was requested."""
    commit: str | None
    """None if the ref is not recorded or was deleted."""
    learnt_at: datetime | None
    image_id: int | None
    """None if the commit has no image of the recipe. Then the fields below are None too."""
    image: str | None
    digest: str | None
    built_at: datetime | None
    last_used_at: datetime | None


class LookupQuery(Generic[T]):
    """Statements that select the same columns by refs, by a commit, or for the default branch.

    `columns` receives the columns `ref`, `commit` and `learnt_at` of the head, and returns the columns to select
    from the repository, the head and the image. If a commit is requested, `ref` and `learnt_at` are NULL.
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
        """Return the rows of a commit, or of up to MAX_REFS full refs in any order, or of the default branch.

        Return an empty list if the repository is unknown.
        """
        values = {"provider": provider, "name": name_key(full_name), "recipe": recipe}
        if commit is not None:
            statement, values["commit"] = self._of_commit, commit
        elif refs:
            statement, padded = self._of_refs, [*refs, *([""] * (MAX_REFS - len(refs)))]
            values |= {f"ref{number}": ref for number, ref in enumerate(padded)}
        else:
            statement = self._of_default_branch
        return [self._make(row) for row in driver.read(database, statement, values)]


def _statement(columns: ColumnsOf, is_ref: ColumnElement[bool] | None) -> Select[Any]:
    """Build the statement for the refs that match `is_ref`, or for a commit if `is_ref` is None."""
    commit: ColumnElement[Any] = bindparam("commit") if is_ref is None else RefHead.commit.expression
    head = (null(), commit, null()) if is_ref is None else (RefHead.ref, commit, RefHead.learnt_at)
    tables = select(*columns(*head)).select_from(Repository)
    if is_ref is not None:
        tables = tables.outerjoin(RefHead, and_(RefHead.repository_id == Repository.id, is_ref))
    of_commit = and_(
        Image.repository_id == Repository.id, Image.commit == commit, Image.recipe == bindparam("recipe")
    )
    is_named = and_(Repository.provider == bindparam("provider"), Repository.name_key == bindparam("name"))
    return tables.outerjoin(Image, of_commit).where(is_named)


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
