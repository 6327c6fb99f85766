"""Who asks, and what they may see and change: the rules, apart from how somebody proves who they are.

A private repository's builds, logs, badge and images are shown to admins, to members of the hub's groups that
REPO2HUB_PRIVATE_ACCESS names for it, and a build also to who asked for it. A build is stopped by who asked for it
and by admins; to have it made again one must still see its repository.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from db.models import Build
from db.queries.visibility import ReadAccess

API_USER_NAME = "api token"
"""Stands on record for whoever had one of REPO2HUB_API_TOKENS."""


@dataclass(frozen=True, slots=True)
class User:
    """Whoever sent a request, as far as the service can tell."""

    name: str | None
    """The hub's user name; what stands on record as `requested_by`. None where nobody is told apart."""
    is_admin: bool
    groups: frozenset[str] = frozenset()
    """The hub's groups."""
    is_service: bool = False
    """Another service of the hub, which asks for whoever uses it: no single share of the builders fits it."""
    repositories: tuple[str, ...] = ()
    """Globs in lower case: the private repositories that their groups may see."""


ANONYMOUS = User(None, is_admin=False)
"""Whoever looks at public pages without having logged in."""
LOCAL_USER = User(None, is_admin=True)
"""Whoever is at the machine that the service runs on for nobody else."""
API_TOKEN_USER = User(API_USER_NAME, is_admin=True)
"""A script, or the launcher in the hub, that has one of REPO2HUB_API_TOKENS."""


class HasVisibility(Protocol):
    """What tells whether a repository may be seen: its record, or a lookup's row of it."""

    @property
    def full_name(self) -> str: ...
    @property
    def private(self) -> bool: ...
    @property
    def private_known(self) -> bool: ...


def may_see(user: User | None, repository: HasVisibility) -> bool:
    """Say whether somebody (None: anybody) may see what belongs to a repository.

    Until GitHub has told that it is not private, it is taken for private.
    """
    is_public = repository.private_known and not repository.private
    return is_public or may_see_private(user, repository.full_name)


def may_see_private(user: User | None, full_name: str) -> bool:
    """Say whether somebody may see what belongs to a private repository of this name."""
    if user is None or user.is_admin:
        return user is not None
    name = full_name.lower()
    return any(fnmatchcase(name, pattern) for pattern in user.repositories)


def may_see_build(user: User | None, build: Build) -> bool:
    """Say whether somebody may see a build, its repository loaded, and its log and image."""
    return may_see(user, build.repository) or _requested_build(user, build)


def may_change(user: User | None, build: Build) -> bool:
    """Say whether somebody may cancel a build or have it built again."""
    return (user is not None and user.is_admin) or _requested_build(user, build)


def read_access(user: User | None) -> ReadAccess:
    """Return what `may_see_build` allows somebody (None: anybody), for lists that the database filters."""
    return ReadAccess(False) if user is None else ReadAccess(user.is_admin, user.name, user.repositories)


def _requested_build(user: User | None, build: Build) -> bool:
    return user is not None and user.name is not None and user.name == build.requested_by
