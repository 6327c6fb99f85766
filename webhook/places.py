"""Who may take how many of the places for what lasts and costs a thread, so that nobody takes them all.

A user of the hub has a number of their own. Those who have not said who they are share half of the places: their
addresses are not told apart, because behind a web server all come from the same one, and what X-Forwarded-For
says of them anybody can write. Admins, and programs that ask for many people (API tokens, other services of the
hub), are held by the number of all places alone, as builds are.
"""

from collections import Counter

from webhook.person import Person


class NoPlace(Exception):
    """There is no place for this person. The text, without its full stop, says which places are taken."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status
        """The HTTP status: 429 where they have too many themselves, 503 where others do."""


class Places:
    """The places of one process. Not for several threads at once."""

    def __init__(self, limit: int, per_user: int, what: str) -> None:
        """`limit`: of all; `per_user`: of one user of the hub, 0 for no limit; `what` has them, as "open logs"."""
        self.limit = limit
        self._per_user = per_user or limit
        self._what = what
        self._unnamed = max(1, limit // 2)
        self._taken: Counter[str | None] = Counter()
        self._count = 0

    def take(self, person: Person) -> None:
        """Take a place. Raises NoPlace."""
        if self._count >= self.limit:
            raise NoPlace(f"All {self.limit} places for {self._what} are taken", 503)
        if _is_counted(person):
            self._check_share(person.name)
            self._taken[person.name] += 1
        self._count += 1

    def free(self, person: Person) -> None:
        """Give back a place that was taken."""
        self._count -= 1
        if _is_counted(person):
            self._taken[person.name] -= 1
            if not self._taken[person.name]:
                del self._taken[person.name]  # or every name that was ever seen would stay

    def _check_share(self, name: str | None) -> None:
        if name is None and self._taken[None] >= self._unnamed:
            raise NoPlace(f"All {self._unnamed} places for {self._what} without a login are taken", 503)
        if name is not None and self._taken[name] >= self._per_user:
            text = f"You have {self._per_user} {self._what} already, which is all that one user may"
            raise NoPlace(text, 429)


def _is_counted(person: Person) -> bool:
    return not (person.is_admin or person.is_service)
