"""Errors as answers, with a code for programs and a sentence for people: JSON, or a page where one is wanted.

What a person can mend is said; what only an admin can mend is logged with its traceback and answered in general
words, since a message of the database or of Python can hold what is nobody's business.
"""

from collections.abc import Mapping

import structlog
from flask import Flask, Response, jsonify, request
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from webhook.http import html
from webhook.lookup.revision import ResolveError

log = structlog.get_logger()

_RETRY = {"Retry-After": "5"}
_TITLES = {
    400: "That did not work",
    401: "Who are you?",
    403: "Not allowed",
    404: "Not found",
    422: "That cannot be read",
    500: "Something went wrong",
    503: "Not available right now",
}
"""What heads the page of an error, by its HTTP status; of all others it is what HTTP calls it."""
RESOLVE_ERROR_STATUS = {
    "unknown_ref": 404,
    "unknown_repository": 404,
    "host_not_allowed": 403,
    "github_unreachable": 503,
}
"""The HTTP status of an ResolveError, by its code; of all others it is 422."""


class HttpError(Exception):
    """A request that cannot be answered as it is; `status` is the HTTP status."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
        link: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers or {}
        self.link = link
        """What a page of it offers first: a name and an address."""


def register(app: Flask) -> None:
    """Answer every error of the application."""
    app.register_error_handler(HttpError, _problem)
    app.register_error_handler(ResolveError, _unresolved)
    app.register_error_handler(HTTPException, _http)
    for error in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(error, _database_away)
    app.register_error_handler(Exception, _unexpected)


def _answer(
    status: int,
    code: str,
    message: str,
    headers: Mapping[str, str] | None = None,
    link: tuple[str, str] | None = None,
) -> Response:
    if html.prefers_html():
        title = _TITLES.get(status) or HTTP_STATUS_CODES.get(status, "Error")
        if link is None and status >= 500 and request.method == "GET":
            link = "Try again", ""  # to a browser, the page that it is on
        about = {"title": title, "message": message, "code": code, "number": status, "link": link}
        response = html.page("error.html", status=status, **about)
    else:
        response = jsonify(error={"code": code, "message": message})
        response.status_code = status
    response.headers.update(headers or {})
    return response


def _problem(problem: HttpError) -> Response:
    return _answer(problem.status, problem.code, str(problem), problem.headers, problem.link)


def _unresolved(exc: ResolveError) -> Response:
    status = RESOLVE_ERROR_STATUS.get(exc.code, 422)
    return _answer(status, exc.code, str(exc), _RETRY if status == 503 else None)


def _http(exc: HTTPException) -> Response | HTTPException:
    if exc.code is None or exc.code < 400:
        return exc  # a redirect
    headers = {name: value for name, value in exc.get_headers() if name in ("Allow", "Retry-After")}
    return _answer(exc.code, exc.name.lower().replace(" ", "_"), exc.description or exc.name, headers)


def _database_away(exc: Exception) -> Response:
    log.error("web.database_away", error=type(exc).__name__, exc_info=exc)
    return _answer(503, "database_unavailable", "The database does not answer. Try again soon.", _RETRY)


def _unexpected(exc: Exception) -> Response:
    log.error("web.failed", error=type(exc).__name__, exc_info=exc)
    return _answer(500, "internal_error", "Something went wrong here; the log of the service says what.")
