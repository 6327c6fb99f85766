"""What a user may see and change.

Builds, logs, badges and images of a private repository are visible to admins and to the hub's groups that
REPO2HUB_PRIVATE_ACCESS names for it; a build is also visible to the user who requested it. Admins and the user who
requested a build can cancel and rebuild it, but a rebuild requires that the repository is still visible to them.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from db.models import Build
from db.queries.visibility import ReadAccess

API_USER_NAME = "api token"
"""The recorded name of users who authenticated with one of REPO2HUB_API_TOKENS."""


@dataclass(frozen=True, slots=True)
class User:
    """The user of a request."""

    name: str | None
    """The hub's user name, recorded as `requested_by`. None if users are not told apart."""
    is_admin: bool
    is_service: bool = False
    """Another service of the hub, which acts for many users: the limits of one user do not apply."""
    repositories: tuple[str, ...] = ()
    """Globs in lower case: the private repositories that the user's groups may see."""


ANONYMOUS = User(None, is_admin=False)
"""A visitor of public pages who has not logged in."""
LOCAL_USER = User(None, is_admin=True)
"""The user of a machine whose service accepts no requests from elsewhere."""
API_TOKEN_USER = User(API_USER_NAME, is_admin=True)
"""A script, or the launcher in the hub, with one of REPO2HUB_API_TOKENS."""


class HasVisibility(Protocol):
    """What decides whether a repository is visible: its record, or a row of a lookup."""

    @property
    def full_name(self) -> str: ...
    @property
    def private(self) -> bool: ...
    @property
    def private_known(self) -> bool: ...


def may_see(user: User | None, repository: HasVisibility) -> bool:
    """Return whether a user (None: everyone) may see a repository.

    A repository counts as private until GitHub has said that it is not.
    """
    is_public = repository.private_known and not repository.private
    return is_public or may_see_private(user, repository.full_name)


def may_see_private(user: User | None, full_name: str) -> bool:
    """Return whether a user may see a private repository of this name."""
    if user is None or user.is_admin:
        return user is not None
    name = full_name.lower()
    return any(fnmatchcase(name, pattern) for pattern in user.repositories)


def may_see_build(user: User | None, build: Build) -> bool:
    """Return whether a user may see a build, whose repository is loaded, with its log and image."""
    return may_see(user, build.repository) or _requested_build(user, build)


def may_change(user: User | None, build: Build) -> bool:
    """Return whether a user may cancel and rebuild a build."""
    return (user is not None and user.is_admin) or _requested_build(user, build)


def read_access(user: User | None) -> ReadAccess:
    """Return the rules of `may_see_build` for a user (None: everyone), for lists that the database filters."""
    return ReadAccess(False) if user is None else ReadAccess(user.is_admin, user.name, user.repositories)


def _requested_build(user: User | None, build: Build) -> bool:
    return user is not None and user.name is not None and user.name == build.requested_by
