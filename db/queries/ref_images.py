"""The newest image of each ref: joins ref heads, builds and images."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, literal_column, or_, select, union_all
from sqlalchemy.orm import Session, joinedload

from db.models import Build, Image, RefHead


def _head_build_id(*which: ColumnElement[bool]) -> ColumnElement[int | None]:
    """Of a ref: the build that made the image of the commit it stands at, else of the one it stood at before.

    It may have been another ref's: a merge that is a fast-forward builds nothing.
    """

    def of(commit: ColumnElement[str | None]) -> ColumnElement[int | None]:
        made = select(func.max(Image.build_id)).join(Build, Build.id == Image.build_id)
        made = made.where(Image.repository_id == RefHead.repository_id, Image.commit == commit, *which)
        return made.correlate(RefHead).scalar_subquery()

    return func.coalesce(of(RefHead.commit.expression), of(RefHead.previous.expression))


def _newest_of_ref() -> Select[Any]:
    def is_of_ref(table: type[RefHead | Build]) -> ColumnElement[bool]:
        return and_(table.repository_id == bindparam("repository_id"), table.ref == bindparam("ref"))

    standing = select(_head_build_id()).where(is_of_ref(RefHead))
    own = select(Build.id).join(Image, Image.build_id == Build.id)
    own = own.where(is_of_ref(Build)).order_by(Build.id.desc())
    own = own.limit(literal_column("1"))  # in the text: PostgreSQL plans for a limit that it knows
    newest = func.coalesce(standing.scalar_subquery(), own.scalar_subquery())
    return select(Image).where(Image.build_id == newest)


_NEWEST_OF_REF = _newest_of_ref()


def newest_of_ref(session: Session, repository_id: int, ref: str) -> Image | None:
    """Return the newest image of a ref: of the commit where it stands, else of the one before, else its last one.

    The image that was made last may be of an older commit: its push came late, or somebody built it again.
    """
    found: Image | None = session.scalar(_NEWEST_OF_REF, {"repository_id": repository_id, "ref": ref})
    return found


class RefImage(NamedTuple):
    """The newest image of a ref, with the build that made it."""

    ref: str
    image: Image
    build: Build


def newest_of_refs(
    session: Session, recipe: str, *, visible: ColumnElement[bool], limit: int
) -> Sequence[RefImage]:
    """Return the newest image (see `newest_of_ref`) of each ref that has one by this recipe, the newest first.

    `visible` is a condition on Build that says which of them. A ref that was deleted is left out.
    """
    which = (Image.recipe == recipe, visible)
    standing = _head_build_id(*which).label("build_id")
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
    return [RefImage._make(row) for row in session.execute(statement)]
