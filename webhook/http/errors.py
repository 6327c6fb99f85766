"""The errors that a request can end with: an HTTP status, a code for programs, a message for people.

    HttpError
    ├── ResolveError    a repository and ref that lead to no commit
    ├── LimitReached    too many at once (webhook/access/concurrency_limit.py)
    └── RefusedDelivery a delivery that GitHub did not sign or that is malformed (webhook/github/receiver.py)

Only the standard library is imported here: the command line raises and catches these errors without the web
server's packages. `webhook/http/error_responses.py` turns them into responses.
"""

from collections.abc import Mapping
from typing import NamedTuple

RESOLVE_ERROR_STATUS = {
    "unknown_ref": 404,
    "unknown_repository": 404,
    "host_not_allowed": 403,
    "github_unreachable": 503,
}
"""The HTTP status of a ResolveError by its code; every other code has 422."""


class Link(NamedTuple):
    """A link that a page offers."""

    text: str
    url: str


class HttpError(Exception):
    """A request that gets an error as its response."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
        link: Link | None = None,
    ) -> None:
        """`link` is the first button of the error's page."""
        super().__init__(message)
        self.status, self.code, self.headers, self.link = status, code, headers or {}, link


class ResolveError(HttpError):
    """A repository and ref that lead to no commit."""

    def __init__(self, code: str, message: str) -> None:
        status = RESOLVE_ERROR_STATUS.get(code, 422)
        super().__init__(status, code, message, {"Retry-After": "5"} if status == 503 else None)
