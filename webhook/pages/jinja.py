"""The templates' environment: filters, globals, and the static files that pages refer to."""

from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, url_for
from jinja2 import StrictUndefined

from base import sanitize
from base.repository_names import is_at_github
from webhook.pages import filters

_STATIC = Path(__file__).parent / "static"
_YEAR = 365 * 24 * 3600


def register(app: Flask, base: str) -> None:
    """Set up the templates of an application, and serve the static files under `base`."""
    files = Blueprint(
        "files", __name__, static_folder="static", static_url_path="/static", template_folder="templates"
    )
    # The URL of a file contains its hash, so a browser may keep it for as long as it likes.
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = _YEAR
    app.register_blueprint(files, url_prefix=base or None)
    env = app.jinja_env
    env.undefined = StrictUndefined
    env.trim_blocks = env.lstrip_blocks = True
    env.finalize = _sanitized
    env.filters |= {
        "ago": filters.ago,
        "cause": filters.cause_heading,
        "duration": filters.format_duration,
        "iso": _iso,
        "short_ref": filters.short_ref,
        "size": filters.format_size,
        "state": filters.state,
        "status_sentence": filters.describe_status,
        "trigger": filters.describe_trigger,
        "utc": filters.format_utc,
    }
    env.globals |= {
        "file": _static_url,
        "repository_url": _repository_url,
        "is_at_github": is_at_github,
        "version": version("repo2hub"),
    }


def _sanitized(value: Any) -> Any:
    return sanitize.sanitize_for_page(value) if type(value) is str else value


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _repository_url(full_name: str) -> str:
    """Return the URL of the repository's page; a repository of another server has none and links to itself."""
    if not is_at_github(full_name):
        return full_name
    org, _, repo = full_name.partition("/")
    return url_for("pages.repository", org=org, repo=repo)


def _static_url(name: str) -> str:
    return url_for("files.static", filename=name, v=_hash(name))


@cache
def _hash(name: str) -> str:
    return sha256((_STATIC / name).read_bytes()).hexdigest()[:12]
