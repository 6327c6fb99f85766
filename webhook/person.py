"""Who asks, and what they may see and change: the rules, apart from how somebody proves who they are.

A private repository's builds, logs, badge and images are shown to admins, to members of the hub's groups that
REPO2HUB_PRIVATE_ACCESS names for it, and a build also to who asked for it. A build is stopped by who asked for it
and by admins; to have it made again one must still see its repository.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from db.models import Build
from db.visibility import Sees

SCRIPT = "api token"
"""Stands on record for whoever had one of REPO2HUB_API_TOKENS."""


@dataclass(frozen=True, slots=True)
class Person:
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


ANYBODY = Person(None, is_admin=False)
"""Whoever looks at public pages without having logged in."""
OWNER = Person(None, is_admin=True)
"""Whoever is at the machine that the service runs on for nobody else."""
TOKEN = Person(SCRIPT, is_admin=True)
"""A script, or the launcher in the hub, that has one of REPO2HUB_API_TOKENS."""


class Visible(Protocol):
    """What tells whether a repository may be seen: its record, or a lookup's row of it."""

    @property
    def full_name(self) -> str: ...
    @property
    def private(self) -> bool: ...
    @property
    def private_known(self) -> bool: ...


def may_see(person: Person | None, repository: Visible) -> bool:
    """Say whether somebody (None: anybody) may see what belongs to a repository.

    Until GitHub has told that it is not private, it is taken for private.
    """
    is_public = repository.private_known and not repository.private
    return is_public or may_see_private(person, repository.full_name)


def may_see_private(person: Person | None, full_name: str) -> bool:
    """Say whether somebody may see what belongs to a private repository of this name."""
    if person is None or person.is_admin:
        return person is not None
    name = full_name.lower()
    return any(fnmatchcase(name, pattern) for pattern in person.repositories)


def may_see_build(person: Person | None, build: Build) -> bool:
    """Say whether somebody may see a build, its repository loaded, and its log and image."""
    return may_see(person, build.repository) or _asked_for(person, build)


def may_change(person: Person | None, build: Build) -> bool:
    """Say whether somebody may cancel a build or have it built again."""
    return (person is not None and person.is_admin) or _asked_for(person, build)


def sees(person: Person | None) -> Sees:
    """Return what `may_see_build` allows somebody (None: anybody), for lists that the database filters."""
    return Sees(False) if person is None else Sees(person.is_admin, person.name, person.repositories)


def _asked_for(person: Person | None, build: Build) -> bool:
    return person is not None and person.name is not None and person.name == build.requested_by
