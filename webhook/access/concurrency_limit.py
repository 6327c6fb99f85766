"""Who may take how many of the places for what lasts and costs a thread, so that nobody takes them all.

A user of the hub has a number of their own. Those who have not said who they are share half of the places: their
addresses are not told apart, because behind a web server all come from the same one, and what X-Forwarded-For
says of them anybody can write. Admins, and programs that ask for many people (API tokens, other services of the
hub), are held by the number of all places alone, as builds are.
"""

from collections import Counter

from webhook.access.permissions import User


class LimitReached(Exception):
    """There is no place for this person. The text, without its full stop, says which places are taken."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status
        """The HTTP status: 429 where they have too many themselves, 503 where others do."""


class ConcurrencyLimit:
    """The places of one process. Not for several threads at once."""

    def __init__(self, limit: int, per_user: int, what: str) -> None:
        """`limit`: of all; `per_user`: of one user of the hub, 0 for no limit; `what` has them, as "open logs"."""
        self.limit = limit
        self._per_user = per_user or limit
        self._what = what
        self._anonymous_limit = max(1, limit // 2)
        self._used: Counter[str | None] = Counter()
        self._count = 0

    def acquire(self, user: User) -> None:
        """Take a place. Raises LimitReached."""
        if self._count >= self.limit:
            raise LimitReached(f"All {self.limit} places for {self._what} are taken", 503)
        if _is_limited(user):
            self._check_user_limit(user.name)
            self._used[user.name] += 1
        self._count += 1

    def release(self, user: User) -> None:
        """Give back a place that was taken."""
        self._count -= 1
        if _is_limited(user):
            self._used[user.name] -= 1
            if not self._used[user.name]:
                del self._used[user.name]  # or every name that was ever seen would stay

    def _check_user_limit(self, name: str | None) -> None:
        if name is None and self._used[None] >= self._anonymous_limit:
            raise LimitReached(
                f"All {self._anonymous_limit} places for {self._what} without a login are taken", 503
            )
        if name is not None and self._used[name] >= self._per_user:
            text = f"You have {self._per_user} {self._what} already, which is all that one user may"
            raise LimitReached(text, 429)


def _is_limited(user: User) -> bool:
    return not (user.is_admin or user.is_service)
