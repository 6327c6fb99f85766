"""Apply REPO2HUB_ADMINS and REPO2HUB_PRIVATE_ACCESS to the hub's users."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from webhook.access.permissions import API_USER_NAME, User
from webhook.http.errors import HttpError
from webhook.settings import WebSettings

_SERVICE = "service:"


@dataclass(frozen=True)
class HubUserRules:
    """The admins of this service, and which groups may see which private repositories."""

    admins: frozenset[str] = frozenset()
    access: tuple[tuple[str, str], ...] = ()
    """Pairs of a repository glob in lower case and a group that may see these private repositories."""

    @classmethod
    def of(cls, settings: WebSettings) -> Self:
        """Return the rules of the settings."""
        rules = [rule.partition("=") for rule in settings.private_access]
        access = tuple((pattern.lower(), group) for pattern, _, group in rules)
        return cls(frozenset(settings.admins), access)

    def user(self, name: str, *, is_admin: bool, groups: frozenset[str]) -> User:
        """Return a user of the hub. Raises HttpError for a name that the records use for something else."""
        if name.startswith((API_USER_NAME, _SERVICE)):
            raise HttpError(
                403,
                "reserved_name",
                f"The user name {name} is reserved in this service. Ask the hub's admin for another one.",
            )
        return User(name, is_admin or name in self.admins, repositories=self._repositories_of(groups))

    def service(self, name: str, *, is_admin: bool) -> User:
        """Return another service of the hub, which sent its own token."""
        return User(f"{_SERVICE}{name}", is_admin, is_service=True)

    def _repositories_of(self, groups: Iterable[str]) -> tuple[str, ...]:
        return tuple(pattern for pattern, group in self.access if group in groups)
