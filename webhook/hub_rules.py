"""What the settings make of a hub's users: who is an admin here, whose groups open which private repositories."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from webhook.person import SCRIPT, Person
from webhook.problem import Problem
from webhook.settings import WebSettings

_SERVICE = "service:"


@dataclass(frozen=True)
class Rules:
    """What this deployment's settings make of a hub's users."""

    admins: frozenset[str] = frozenset()
    access: tuple[tuple[str, str], ...] = ()
    """Repositories as a glob in lower case, and the group that may see them where they are private."""

    @classmethod
    def of(cls, settings: WebSettings) -> Self:
        """Return the rules of REPO2HUB_ADMINS and REPO2HUB_PRIVATE_ACCESS."""
        rules = [rule.partition("=") for rule in settings.private_access]
        access = tuple((pattern.lower(), group) for pattern, _, group in rules)
        return cls(frozenset(settings.admins), access)

    def user(self, name: str, *, is_admin: bool, groups: frozenset[str]) -> Person:
        """Return a user of the hub. Raises Problem for a name that would pass for somebody else's on record."""
        if name.startswith((SCRIPT, _SERVICE)):
            raise Problem(403, "reserved_name", f"A hub's user cannot be called {name} here.")
        return Person(name, is_admin or name in self.admins, groups, repositories=self._opened_to(groups))

    def service(self, name: str, *, is_admin: bool) -> Person:
        """Return another service of the hub, which came with its own token."""
        return Person(f"{_SERVICE}{name}", is_admin, is_service=True)

    def _opened_to(self, groups: Iterable[str]) -> tuple[str, ...]:
        return tuple(pattern for pattern, group in self.access if group in groups)
