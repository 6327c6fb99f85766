"""Limit how many expensive things run at once, in all and for each user, so that no user takes every slot.

A user of the hub has a limit of their own. Users who have not logged in share half of the slots: they cannot
be told apart, because behind a proxy all have the same address and X-Forwarded-For can be forged. Admins and
programs that act for many users (API tokens, other services of the hub) count against the total only, as
their builds do.
"""

from collections import Counter

from webhook.access.permissions import User
from webhook.http.errors import HttpError

_RETRY_AFTER = 10  # seconds


class LimitReached(HttpError):
    """No slot is free: 429 if the user has too many, 503 if others do."""

    def __init__(self, status: int, code: str, reason: str) -> None:
        message = f"{reason}. Try again in {_RETRY_AFTER} seconds."
        super().__init__(status, code, message, {"Retry-After": str(_RETRY_AFTER)})
        self.reason = reason
        """The first sentence of the message, without its full stop."""


class ConcurrencyLimit:
    """The slots of one process. Not thread-safe: the caller holds a lock."""

    def __init__(self, limit: int, per_user: int, what: str, code: str = "too_many_requests") -> None:
        """`limit` is for all users, `per_user` for one user of the hub (0: no limit); `what` names the slots."""
        self.limit = limit
        self._per_user = per_user or limit
        self._what = what
        self._code = code
        self._anonymous_limit = max(1, limit // 2)
        self._used: Counter[str | None] = Counter()
        self._count = 0

    def acquire(self, user: User) -> None:
        """Take a slot. Raises LimitReached."""
        if self._count >= self.limit:
            raise self._reached(503, f"The service reached its limit of {self._what} ({self.limit})")
        if _is_limited(user):
            self._check_user_limit(user.name)
            self._used[user.name] += 1
        self._count += 1

    def release(self, user: User) -> None:
        """Give back a slot that `acquire` took."""
        self._count -= 1
        if _is_limited(user):
            self._used[user.name] -= 1
            if not self._used[user.name]:
                del self._used[user.name]  # or the counter would keep every name forever

    def _check_user_limit(self, name: str | None) -> None:
        if name is None and self._used[None] >= self._anonymous_limit:
            reason = (
                f"The service reached its limit of {self._what} without a login ({self._anonymous_limit})"
            )
            raise self._reached(503, reason)
        if name is not None and self._used[name] >= self._per_user:
            raise self._reached(429, f"You reached your limit of {self._what} ({self._per_user})")

    def _reached(self, status: int, reason: str) -> LimitReached:
        return LimitReached(status, self._code, reason)


def _is_limited(user: User) -> bool:
    return not (user.is_admin or user.is_service)
