"""List builds for pages and API at a bounded cost: ended builds, newest first, and active builds.

A page of the history begins below an id (keyset): a hundred thousand builds page as fast as a hundred. An index is
in the order of ids only below a state and a trigger. Where a filter leaves one of them open, the page is merged
from the newest few of each word of it, which is a constant number of short reads.

`db/queries/visibility.py` hides private repositories in the statements themselves, so that a page has no holes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Executable,
    Integer,
    Select,
    and_,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.orm import Session, joinedload
from sqlalchemy.sql.elements import ColumnElement

from db.columns import MAX_ID
from db.models import IS_ACTIVE, IS_FINAL, IS_QUEUED, Build, Repository
from db.queries.visibility import ReadAccess, visible, visible_repository
from db.records import builds
from db.sql.insert import dialect_of
from db.status import FINAL, Status, Trigger

SEARCH_WINDOW = 10_000
"""The number of builds that one search of titles, authors and messages reads."""


@dataclass(frozen=True, slots=True)
class BuildFilter:
    """The builds to list; None means all. `refs` are full refs of the repository."""

    repository_id: int | None = None
    refs: tuple[str, ...] = ()
    status: Status | None = None
    trigger: Trigger | None = None


class SearchResult(NamedTuple):
    """The builds that match a search, and the id below which builds were not read; None if all were."""

    builds: Sequence[Build]
    below: int | None


class ActiveBuild(NamedTuple):
    """A queued or running build; `position` is its position in the queue, None if it is running."""

    build: Build
    position: int | None


def page(
    session: Session, read_access: ReadAccess, filters: BuildFilter, *, below: int = MAX_ID, limit: int = 50
) -> Sequence[Build]:
    """Return builds that have ended, newest first, with their repositories.

    `below` is the last id of the page above.
    """
    return _with_repositories(session, page_ids(session, read_access, filters, below=below, limit=limit))


def page_ids(
    session: Session, read_access: ReadAccess, filters: BuildFilter, *, below: int = MAX_ID, limit: int = 50
) -> Sequence[int]:
    """Return the ids of the builds of a page."""
    if filters.status is not None and filters.status not in FINAL:
        return []
    of_repository = filters.repository_id is not None
    is_sqlite = dialect_of(session) == "sqlite"
    shape = _PageShape(
        of_repository, len(filters.refs), filters.status, filters.trigger, read_access, limit, is_sqlite
    )
    values: dict[str, Any] = {"below": min(max(below, 0), MAX_ID)}
    values |= {f"ref{number}": ref for number, ref in enumerate(filters.refs)}
    if of_repository:
        values["repository_id"] = filters.repository_id
    return sorted(session.scalars(_page_statement(shape), values), reverse=True)[:limit]


def page_with_active(
    session: Session, read_access: ReadAccess, filters: BuildFilter, *, below: int = MAX_ID, limit: int = 50
) -> Sequence[Build]:
    """Return active and ended builds, newest first; otherwise like `page`."""
    # Active builds first: a build that ends between the two reads is then in both results, not in neither.
    active = select(Build.id).where(IS_ACTIVE, *_filter_conditions(filters), visible(read_access))
    ids = {number for number in session.scalars(active) if number < below}
    ids.update(page_ids(session, read_access, filters, below=below, limit=limit))
    return _with_repositories(session, sorted(ids, reverse=True)[:limit])


class _PageShape(NamedTuple):
    """What the statement of a page depends on; everything else is a parameter."""

    of_repository: bool
    refs: int
    status: Status | None
    trigger: Trigger | None
    read_access: ReadAccess
    limit: int
    is_sqlite: bool


@lru_cache(maxsize=512)
def _page_statement(shape: _PageShape) -> Executable:
    """Return the statement for the ids of a page, cached because building it can take longer than running it."""
    condition = visible(shape.read_access)
    keys = list(_keys(shape))
    if keys == [{}]:
        return _newest(condition, bindparam("below", type_=BigInteger), shape.limit)
    parts = [_index_range(key, condition, shape).subquery() for key in keys]
    return union_all(*(select(part.c.id) for part in parts))


def _keys(shape: _PageShape) -> Iterator[dict[str, ColumnElement[Any]]]:
    """Yield the column values that select the builds of a filter, in the column order of an index."""
    of = {"repository_id": bindparam("repository_id", type_=BigInteger)} if shape.of_repository else {}
    refs: list[dict[str, Any]] = [
        {"ref": bindparam(f"ref{n}", type_=Build.ref.type)} for n in range(shape.refs)
    ]
    if not (of or refs or shape.status or shape.trigger):
        yield {}  # all builds
        return
    statuses = FINAL if shape.status is None else (shape.status,)
    triggers = Trigger if shape.trigger is None else (shape.trigger,)
    for ref, status, trigger in product(refs or [{}], statuses, triggers):
        words = {
            "status": literal(status, Build.status.type),
            "trigger": literal(trigger, Build.trigger.type),
        }
        yield {**of, **ref, **words}


def _newest(condition: ColumnElement[bool], below: Any, limit: int) -> Select[Any]:
    newest = select(Build.id).where(IS_FINAL, condition, Build.id < below)
    return newest.order_by(Build.id.desc()).limit(_inline_limit(limit))


def _index_range(
    key: dict[str, ColumnElement[Any]], condition: ColumnElement[bool], shape: _PageShape
) -> Select[Any]:
    """Like `_newest`, for builds with these column values: one range of an index, read backwards.

    PostgreSQL is asked for a range of one, and in an order that begins with the key: only the one index is in that
    order. Asked with `=`, it might walk the primary key backwards for a word or a repository that it takes to be
    common, and read a million builds for the last of those that failed. SQLite takes the index for `=`, and would
    read a range from its end, whatever the id.
    """
    columns, values = [getattr(Build, name) for name in key], list(key.values())
    below = bindparam("below", type_=BigInteger)
    if shape.is_sqlite:
        stretch = [
            *(column == value for column, value in zip(columns, values, strict=True)),
            Build.id < below,
        ]
    else:
        stretch = [tuple_(*columns) >= tuple_(*values), tuple_(*columns, Build.id) < tuple_(*values, below)]
    newest = select(Build.id).where(IS_FINAL, condition, *stretch)
    order = (*(column.desc() for column in columns), Build.id.desc())
    return newest.order_by(*order).limit(_inline_limit(shape.limit))


def _inline_limit(limit: int) -> ColumnElement[Any]:
    """Return a literal limit, so that PostgreSQL knows it when it plans a prepared statement."""
    return bindparam(None, limit, type_=Integer, literal_execute=True)


def _with_repositories(session: Session, ids: Sequence[int]) -> Sequence[Build]:
    if not ids:
        return []
    statement = select(Build).where(Build.id.in_(ids)).options(joinedload(Build.repository))
    return session.scalars(statement.order_by(Build.id.desc())).all()


def _filter_conditions(filters: BuildFilter) -> list[ColumnElement[bool]]:
    return [
        true() if filters.repository_id is None else Build.repository_id == filters.repository_id,
        true() if filters.status is None else Build.status == filters.status,
        true() if filters.trigger is None else Build.trigger == filters.trigger,
        true() if not filters.refs else Build.ref.in_(filters.refs),
    ]


def search(
    session: Session,
    read_access: ReadAccess,
    filters: BuildFilter,
    text: str,
    *,
    below: int = MAX_ID,
    limit: int = 50,
) -> SearchResult:
    """Return ended builds whose commit title, author, message or repository contains `text`.

    Looks through WINDOW builds at a time, so that a word that nobody wrote costs no more than one that all did.
    """
    top = min(below, builds.newest_id(session) + 1)
    bottom = top - SEARCH_WINDOW
    named = exists().where(
        Repository.id == Build.repository_id, Repository.name_key.contains(text.lower(), autoescape=True)
    )
    columns = (Build.commit_title, Build.commit_author, Build.message)
    matches = or_(named, *(column.icontains(text, autoescape=True) for column in columns))
    condition = and_(matches, Build.id >= bottom, *_filter_conditions(filters), visible(read_access))
    found = _with_repositories(session, session.scalars(_newest(condition, top, limit)).all())
    if len(found) == limit:
        return SearchResult(found, found[-1].id)
    return SearchResult(found, bottom if bottom > 1 else None)


def builds_by_commit_prefix(
    session: Session, read_access: ReadAccess, prefix: str, *, limit: int = 50
) -> Sequence[Build]:
    """Return the builds of all commits whose SHA starts with `prefix`, newest first."""
    # "g" sorts after every hexadecimal digit.
    ids = (
        select(Build.id)
        .where(Build.commit >= prefix, Build.commit < f"{prefix}g", visible(read_access))
        .order_by(Build.id.desc())
    )
    return _with_repositories(session, session.scalars(ids.limit(limit)).all())


def active_builds(
    session: Session, read_access: ReadAccess, filters: BuildFilter, *, limit: int = 50
) -> tuple[list[ActiveBuild], int]:
    """Return running and queued builds in the order of the queue, and their total number."""
    if filters.status in FINAL:
        return [], 0
    condition = and_(IS_ACTIVE, *_filter_conditions(filters), visible(read_access))
    order = (Build.status.desc(), Build.priority, Build.id)
    found = session.scalars(
        select(Build).where(condition).options(joinedload(Build.repository)).order_by(*order).limit(limit)
    ).all()
    total = len(found)
    if total == limit:
        total = session.scalar(select(func.count()).select_from(Build).where(condition)) or 0
    places = _queue_positions(session, [build.id for build in found if build.status is Status.QUEUED])
    return [ActiveBuild(build, places.get(build.id)) for build in found], total


def _queue_positions(session: Session, ids: Sequence[int]) -> dict[int, int]:
    """Return the queue positions of these builds, counting all queued builds, visible or not."""
    if not ids:
        return {}
    number = func.row_number().over(order_by=(Build.priority, Build.id))
    queue = select(Build.id, number.label("place")).where(IS_QUEUED).subquery()
    return {row.id: row.place for row in session.execute(select(queue).where(queue.c.id.in_(ids)))}


def search_repositories(
    session: Session, read_access: ReadAccess, text: str, *, limit: int = 6
) -> Sequence[Repository]:
    """Return repositories whose name contains `text`."""
    matches = Repository.name_key.contains(text.lower(), autoescape=True)
    statement = select(Repository).where(
        matches, Repository.enabled.is_(True), visible_repository(read_access)
    )
    return session.scalars(statement.order_by(Repository.name_key).limit(limit)).all()


def refs_with_builds(session: Session, repository_id: int, names: Sequence[str]) -> tuple[str, ...]:
    """Return the full refs among `names` that the repository has builds of."""

    def has_builds(ref: str) -> bool:
        of_ref = select(Build.id).where(Build.repository_id == repository_id, Build.ref == ref)
        return session.scalar(of_ref.limit(1)) is not None

    return tuple(name for name in names if has_builds(name))
