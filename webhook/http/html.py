"""Pages as responses, with the content security policy that keeps foreign code out of them.

A page contains no inline script or style and loads nothing from another host. Templates escape everything
that they print and strip control characters (`webhook/pages/jinja.py`), so a log or a commit message stays
text.
"""

from typing import Any

from flask import Response, render_template, request

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def page(template: str, *, status: int = 200, **context: Any) -> Response:
    """Return a rendered template as a response."""
    response = Response(render_template(template, **context), status, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Vary"] = "Accept, Cookie"
    return response


def prefers_html() -> bool:
    """Return whether the current request prefers HTML to JSON: browsers do, scripts do not."""
    accepted = request.accept_mimetypes
    return accepted.best_match(["application/json", "text/html"], "application/json") == "text/html"
