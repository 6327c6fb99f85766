"""Serve the public routes for monitoring and clients: health, versions, metrics and repository providers.

The paths are BinderHub's, and like BinderHub's they need no login.
"""

from importlib.metadata import version
from typing import Any

from flask import Blueprint, Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from base import image_names
from db.database import Database
from webhook.monitoring.metrics import CONTENT_TYPE, Metrics
from webhook.settings import Role
from webhook.streaming.log_streams import LogStreams


def blueprint(database: Database, streams: LogStreams, metrics: Metrics, role: Role) -> Blueprint:
    """Return the routes, which are registered under the base path."""
    about = Blueprint("about", __name__)

    @about.get("/health")
    def health() -> tuple[Response, int]:
        checks = [_database_check(database)]
        ok = all(check["ok"] for check in checks)
        open_streams = {"service": "streams", "ok": True, "open": streams.open_count, "limit": streams.limit}
        return jsonify(ok=ok, role=role, checks=[*checks, open_streams]), 200 if ok else 503

    @about.get("/versions")
    def versions() -> Response:
        repo2hub = version("repo2hub")
        builder_info = {"repo2docker-version": image_names.REPO2DOCKER_VERSION}
        response = jsonify(repo2hub=repo2hub, binderhub=f"repo2hub {repo2hub}", builder_info=builder_info)
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    @about.get("/metrics")
    def prometheus() -> Response:
        return Response(metrics.text(), content_type=CONTENT_TYPE)

    @about.get("/api/repoproviders")
    def providers() -> Response:
        return jsonify(PROVIDERS)

    return about


def _database_check(database: Database) -> dict[str, object]:
    kind = "sqlite" if database.is_sqlite else "postgresql"
    try:
        with database.read() as session:
            session.execute(text("SELECT 1 FROM build LIMIT 1"))
    except SQLAlchemyError as exc:
        # The text of the exception can contain the URL with the password.
        return {"service": "database", "kind": kind, "ok": False, "error": type(exc).__name__}
    return {"service": "database", "kind": kind, "ok": True}


def _provider(name: str, title: str, **more: Any) -> dict[str, Any]:
    ref = {"enabled": True, "default": "HEAD"}
    return {"displayName": title, "id": name, **more, "ref": ref}


PROVIDERS = [
    _provider(
        "gh",
        "GitHub",
        spec={"validateRegex": r"[^/]+/[^/]+/.+"},
        detect={"regex": r"^(https?://github.com/)?(?<repo>.*[^/])/?"},
        repo={
            "label": "GitHub repository name or URL",
            "placeholder": "example: org/repository or https://github.com/org/repository",
            "urlEncode": False,
        },
    ),
    _provider(
        "git",
        "Git repository",
        spec={"validateRegex": r"[^/]+/.+"},
        repo={
            "label": "Git repository URL",
            "placeholder": "example: https://git.example.org/group/repository",
            "urlEncode": True,
        },
    ),
]
"""The providers of the build API, in the form that BinderHub returns to its launch page."""
