"""Pages as answers: a template, and the policy by which nothing runs in it that is not ours.

No script and no style stands in a page itself, nothing is loaded from anywhere else, and whatever a template
prints is escaped and has its control characters taken out first. So a log or a commit message stays text.
"""

from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, render_template, request, url_for
from jinja2 import StrictUndefined

from base import sanitize
from base.repository_names import is_at_github
from webhook.pages import filters

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_STATIC = Path(__file__).parents[1] / "pages" / "static"
_YEAR = 365 * 24 * 3600


def register(app: Flask, base: str) -> None:
    """Set the templates up, and serve the files that they refer to."""
    files = Blueprint(
        "files",
        "webhook.pages",
        static_folder="static",
        static_url_path="/static",
        template_folder="templates",
    )
    # An address has the file's hash in it: what is at an address never changes.
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = _YEAR
    app.register_blueprint(files, url_prefix=base or None)
    env = app.jinja_env
    env.undefined = StrictUndefined
    env.trim_blocks = env.lstrip_blocks = True
    env.finalize = _printable
    env.filters |= {
        "ago": filters.ago,
        "asked_by": filters.describe_trigger,
        "cause": filters.cause_heading,
        "iso": _iso,
        "lasting": filters.format_duration,
        "sentence": filters.describe_status,
        "short_ref": filters.short_ref,
        "size": filters.format_size,
        "state": filters.state,
        "utc": filters.format_utc,
    }
    env.globals |= {
        "file": _file,
        "repository_url": _repository_url,
        "is_at_github": is_at_github,
        "version": version("repo2hub"),
    }


def page(template: str, *, status: int = 200, **context: Any) -> Response:
    """Return a template, filled in, as an answer."""
    response = Response(render_template(template, **context), status, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Vary"] = "Accept, Cookie"
    return response


def prefers_html() -> bool:
    """Say whether the request at hand prefers a page to data, as a browser's does and a script's does not."""
    accepted = request.accept_mimetypes
    return accepted.best_match(["application/json", "text/html"], "application/json") == "text/html"


def _printable(value: Any) -> Any:
    return sanitize.sanitize_for_page(value) if type(value) is str else value


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _repository_url(full_name: str) -> str:
    """Return the repository's page; one of another server than GitHub has none, and is linked to itself."""
    if not is_at_github(full_name):
        return full_name
    org, _, repo = full_name.partition("/")
    return url_for("pages.repository", org=org, repo=repo)


def _file(name: str) -> str:
    return url_for("files.static", filename=name, v=_hash(name))


@cache
def _hash(name: str) -> str:
    return sha256((_STATIC / name).read_bytes()).hexdigest()[:12]
