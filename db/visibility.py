"""Whose eyes a list of builds is for, as SQL: a page is filtered before it is cut, and so has no holes.

`webhook/person.py` has the same rules for one build at a time.
"""

from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, exists, literal, or_, true

from db.models import Build, Repository


class Sees(NamedTuple):
    """Everything; or what is public, what `name` asked for, and some private repositories."""

    everything: bool
    name: str | None = None
    repositories: tuple[str, ...] = ()
    """Of `org/name` in lower case, `*` for any characters."""


ALL = Sees(everything=True)


def visible(sees: Sees) -> ColumnElement[bool]:
    """Return the condition on builds that `sees` may see."""
    if sees.everything:
        return true()
    shown = exists().where(Repository.id == Build.repository_id, visible_repository(sees))
    return shown if sees.name is None else or_(shown, Build.requested_by == sees.name)


def visible_repository(sees: Sees) -> ColumnElement[bool]:
    """Return the condition on repositories that `sees` may see."""
    opened = [Repository.name_key.like(_like(pattern), escape="\\") for pattern in sees.repositories]
    is_public = and_(Repository.private.is_(False), Repository.private_known.is_(True))
    return or_(literal(sees.everything), is_public, *opened)


def _like(pattern: str) -> str:
    return pattern.replace("_", "\\_").replace("*", "%")
