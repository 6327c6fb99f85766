"""Whose eyes a list of builds is for, as SQL: a page is filtered before it is cut, and so has no holes.

`webhook/access/permissions.py` has the same rules for one build at a time.
"""

from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, exists, literal, or_, true

from db.models import Build, Repository


class ReadAccess(NamedTuple):
    """Everything; or what is public, what `name` asked for, and some private repositories."""

    everything: bool
    name: str | None = None
    repositories: tuple[str, ...] = ()
    """Of `org/name` in lower case, `*` for any characters."""


UNRESTRICTED = ReadAccess(everything=True)


def visible(read_access: ReadAccess) -> ColumnElement[bool]:
    """Return the condition on builds that `read_access` may see."""
    if read_access.everything:
        return true()
    shown = exists().where(Repository.id == Build.repository_id, visible_repository(read_access))
    return shown if read_access.name is None else or_(shown, Build.requested_by == read_access.name)


def visible_repository(read_access: ReadAccess) -> ColumnElement[bool]:
    """Return the condition on repositories that `read_access` may see."""
    opened = [
        Repository.name_key.like(_like_pattern(pattern), escape="\\") for pattern in read_access.repositories
    ]
    is_public = and_(Repository.private.is_(False), Repository.private_known.is_(True))
    return or_(literal(read_access.everything), is_public, *opened)


def _like_pattern(pattern: str) -> str:
    return pattern.replace("_", "\\_").replace("*", "%")
