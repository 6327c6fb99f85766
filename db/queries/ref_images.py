"""The newest image of each ref: joins ref heads, builds and images."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    union,
)
from sqlalchemy.orm import Session

from db.models import Build, Image, RefHead, Repository
from db.queries.visibility import ReadAccess, visible, visible_repository

RECENT_IMAGES = 400
"""The number of newest images that `newest_of_refs` reads before it reads all refs."""


def _head_build_id(*which: ColumnElement[bool]) -> ColumnElement[int | None]:
    """The build of the image of a ref's head commit, else of the commit before it.

    It may be a build of another ref: a fast-forward merge builds nothing.
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
    own = own.limit(literal_column("1"))  # literal, so that PostgreSQL knows it when planning
    newest = func.coalesce(standing.scalar_subquery(), own.scalar_subquery())
    return select(Image).where(Image.build_id == newest)


_NEWEST_OF_REF = _newest_of_ref()


def newest_of_ref(session: Session, repository_id: int, ref: str) -> Image | None:
    """Return the newest image of a ref: of its head commit, else of the commit before, else its last one.

    The image that was made last may be of an older commit: its push came late, or somebody built it again.
    """
    found: Image | None = session.scalar(_NEWEST_OF_REF, {"repository_id": repository_id, "ref": ref})
    return found


class RefImage(NamedTuple):
    """The newest image of a ref, with what a list shows of the build that made it."""

    ref: str
    repository: str
    build_id: int
    commit_title: str | None
    name: str
    digest: str | None
    commit: str
    recipe: str
    built_at: datetime


def newest_of_refs(
    session: Session, recipe: str, read_access: ReadAccess, *, provider: str, limit: int
) -> Sequence[RefImage]:
    """Return the newest image (see `newest_of_ref`) of each ref that has one of this recipe, newest first.

    Of a provider's repositories and of what `read_access` may see. A deleted ref is left out. The refs of the
    newest images mostly fill the list; only if they do not, all refs are read. Neither reads all builds.
    """
    values = {"recipe": recipe, "provider": provider, "limit": limit}
    recent = session.scalars(_recent_images(Image.build_id), values).all()
    oldest = recent[-1] if len(recent) == RECENT_IMAGES else 0
    statement = _list_statement(read_access, recent_images=RECENT_IMAGES)
    found = session.execute(statement, values | {"oldest": oldest}).all()
    if len(found) < limit and oldest:
        statement = _list_statement(read_access, recent_images=0)
        found = session.execute(statement, values | {"oldest": 0}).all()
    return [RefImage._make(row) for row in found]


def _recent_images(*columns: Any) -> Select[Any]:
    """By a range of one recipe, in the order of `ix_image_recipe`.

    Asked with `=`, PostgreSQL may walk through the images of all recipes. The limit is in the text, because
    PostgreSQL plans for a limit that it knows.
    """
    of_recipe = Image.recipe.between(bindparam("recipe"), bindparam("recipe"))
    newest = select(*columns).where(of_recipe).order_by(Image.recipe.desc(), Image.build_id.desc())
    return newest.limit(literal_column(str(RECENT_IMAGES)))


def _refs_of_recent_images() -> CTE:
    """The refs whose newest image can be among the newest images: built for them, or of their head or
    previous commit.
    """
    made_by = Build.__table__.alias("made_by")
    newest = _recent_images(Image.repository_id, Image.commit, Image.build_id).subquery("newest")
    recent = (
        select(newest.c.repository_id, newest.c.commit, made_by.c.ref)
        .join(made_by, made_by.c.id == newest.c.build_id)
        .cte("recent")
    )
    at_commit = [
        select(RefHead.repository_id, RefHead.ref).join(
            recent, and_(RefHead.repository_id == recent.c.repository_id, commit == recent.c.commit)
        )
        for commit in (RefHead.commit, RefHead.previous)
    ]
    return union(select(recent.c.repository_id, recent.c.ref), *at_commit).cte("refs")


def _all_refs(read_access: ReadAccess) -> CTE:
    """The refs that have builds or a head, in repositories that can be visible.

    A repository's refs are stepped through in an index, so that it does not matter how many builds each has.
    """

    def next_ref(repository_id: Any, *after: ColumnElement[bool]) -> Any:
        build = Build.__table__.alias("stepped")
        found = select(func.min(build.c.ref)).where(build.c.repository_id == repository_id)
        return found.where(*(build.c.ref > one for one in after)).scalar_subquery()

    of_repository = visible_repository(read_access)
    if read_access.name is not None:
        requested = select(Build.repository_id).where(Build.requested_by == read_access.name)
        of_repository = or_(of_repository, Repository.id.in_(requested))
    steps = (
        select(Repository.id.label("repository_id"), next_ref(Repository.id).label("ref"))
        .where(of_repository)
        .cte("steps", recursive=True)
    )
    steps = steps.union_all(
        select(steps.c.repository_id, next_ref(steps.c.repository_id, steps.c.ref)).where(
            steps.c.ref.is_not(None)
        )
    )
    heads = select(RefHead.repository_id, RefHead.ref).join(
        Repository, Repository.id == RefHead.repository_id
    )
    built = select(steps.c.repository_id, steps.c.ref).where(steps.c.ref.is_not(None))
    return union(built, heads.where(of_repository)).cte("refs")


@lru_cache(maxsize=256)
def _list_statement(read_access: ReadAccess, *, recent_images: int) -> Select[Any]:
    """Return the statement, cached per kind of user because building it takes longer than running it."""
    refs = _refs_of_recent_images() if recent_images else _all_refs(read_access)
    # The limit keeps SQLite from merging it into the statement below and reading each image three times.
    of_ref = (
        select(refs.c.ref, _newest_build_id(refs, read_access).label("build_id"))
        .outerjoin(RefHead, and_(RefHead.repository_id == refs.c.repository_id, RefHead.ref == refs.c.ref))
        .join(Repository, Repository.id == refs.c.repository_id)
        .where(or_(RefHead.ref.is_(None), RefHead.commit.is_not(None)))
        .where(Repository.provider == bindparam("provider"))
        .order_by(literal_column("build_id").desc(), refs.c.ref)
        .limit(bindparam("limit", type_=Integer))
        .subquery("of_ref")
    )
    build = (Build.id, Build.commit_title)
    image = (Image.name, Image.digest, Image.commit, Image.recipe, Image.built_at)
    return (
        select(of_ref.c.ref, Repository.full_name, *build, *image)
        .join(Build, Build.id == of_ref.c.build_id)
        .join(Image, and_(Image.build_id == Build.id, Image.recipe == bindparam("recipe")))
        .join(Repository, Repository.id == Build.repository_id)
        .where(of_ref.c.build_id >= bindparam("oldest"))
        .order_by(of_ref.c.build_id.desc(), of_ref.c.ref)
    )


def _newest_build_id(refs: CTE, read_access: ReadAccess) -> ColumnElement[int]:
    """The build of a ref's newest image, or 0 if it has none; see `newest_of_ref`."""
    is_listed = (Image.recipe == bindparam("recipe"), visible(read_access))

    def at(commit: ColumnElement[str | None]) -> Any:
        made = select(Image.build_id).join(Build, Build.id == Image.build_id)
        made = made.where(Image.repository_id == refs.c.repository_id, Image.commit == commit, *is_listed)
        return made.correlate(refs, RefHead).scalar_subquery()

    own = select(Build.id).join(Image, Image.build_id == Build.id)
    own = own.where(Build.repository_id == refs.c.repository_id, Build.ref == refs.c.ref, *is_listed)
    own = own.order_by(Build.id.desc()).limit(literal_column("1")).correlate(refs, RefHead)
    return func.coalesce(
        at(RefHead.commit.expression), at(RefHead.previous.expression), own.scalar_subquery(), 0
    )
