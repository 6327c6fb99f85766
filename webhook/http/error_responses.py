"""Errors as responses: JSON for programs, a page for browsers.

The message of an HttpError is shown. Every other exception is logged with its traceback and gets a general
message, because the text of a database or Python error can contain private data.
"""

from collections.abc import Mapping

import structlog
from flask import Flask, Response, jsonify, request
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from db.log_store import LogStoreUnavailable
from webhook.http import html
from webhook.http.errors import HttpError, Link

log = structlog.get_logger()

DATABASE_ERRORS = (OperationalError, InterfaceError, PoolTimeout)
"""What SQLAlchemy raises while the database cannot be reached."""

_TITLES = {
    400: "Bad request",
    401: "Log in to continue",
    403: "Access denied",
    404: "Not found",
    422: "Invalid request",
    500: "Something went wrong",
    503: "Temporarily unavailable",
}
"""The heading of an error page by its HTTP status; every other status has its HTTP reason phrase."""


def register(app: Flask) -> None:
    """Answer every exception of the application with an error response."""
    app.register_error_handler(HttpError, _http_error)
    app.register_error_handler(HTTPException, _werkzeug_error)
    for error in (*DATABASE_ERRORS, LogStoreUnavailable):
        app.register_error_handler(error, _database_unavailable)
    app.register_error_handler(Exception, _unexpected)


def _respond(
    status: int,
    code: str,
    message: str,
    headers: Mapping[str, str] | None = None,
    link: Link | None = None,
) -> Response:
    if html.prefers_html():
        title = _TITLES.get(status) or HTTP_STATUS_CODES.get(status, "Error")
        if link is None and status >= 500 and request.method == "GET":
            link = Link("Try again", "")  # an empty URL is the page that the browser is on
        context = {"title": title, "message": message, "code": code, "number": status, "link": link}
        response = html.page("error.html", status=status, **context)
    else:
        response = jsonify(error={"code": code, "message": message})
        response.status_code = status
    response.headers.update(headers or {})
    return response


def _http_error(exc: HttpError) -> Response:
    return _respond(exc.status, exc.code, str(exc), exc.headers, exc.link)


def _werkzeug_error(exc: HTTPException) -> Response | HTTPException:
    if exc.code is None or exc.code < 400:
        return exc  # a redirect
    headers = {name: value for name, value in exc.get_headers() if name in ("Allow", "Retry-After")}
    return _respond(exc.code, exc.name.lower().replace(" ", "_"), exc.description or exc.name, headers)


def _database_unavailable(exc: Exception) -> Response:
    log.error("web.database_unavailable", error=type(exc).__name__, exc_info=exc)
    message = "The service cannot reach its database. Try again in a few seconds."
    return _respond(503, "database_unavailable", message, {"Retry-After": "5"})


def _unexpected(exc: Exception) -> Response:
    log.error("web.failed", error=type(exc).__name__, exc_info=exc)
    message = "The service ran into an unexpected error. An admin can find the details in its log."
    return _respond(500, "internal_error", message)
