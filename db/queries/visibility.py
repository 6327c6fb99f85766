"""Filter builds and repositories by what a user can see, in SQL, so that pages of a list are always full.

`webhook.access.permissions` applies the same rules to single builds.
"""

from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, exists, literal, or_, true

from db.models import Build, Repository


class ReadAccess(NamedTuple):
    """What a user can see: everything, or public repositories, builds requested by `name`, and `repositories`."""

    everything: bool
    name: str | None = None
    repositories: tuple[str, ...] = ()
    """Patterns of private repositories as `org/name` in lower case; `*` matches any characters."""


UNRESTRICTED = ReadAccess(everything=True)


def visible(read_access: ReadAccess) -> ColumnElement[bool]:
    """Return the SQL condition for builds that are visible with `read_access`."""
    if read_access.everything:
        return true()
    is_visible = exists().where(Repository.id == Build.repository_id, visible_repository(read_access))
    return is_visible if read_access.name is None else or_(is_visible, Build.requested_by == read_access.name)


def visible_repository(read_access: ReadAccess) -> ColumnElement[bool]:
    """Return the SQL condition for repositories that are visible with `read_access`."""
    granted = [
        Repository.name_key.like(_like_pattern(pattern), escape="\\") for pattern in read_access.repositories
    ]
    is_public = and_(Repository.private.is_(False), Repository.private_known.is_(True))
    return or_(literal(read_access.everything), is_public, *granted)


def _like_pattern(pattern: str) -> str:
    return pattern.replace("_", "\\_").replace("*", "%")
