"""What anybody may ask of the service: whether it is well, its versions, its metrics, which repositories it knows.

The same paths as BinderHub's, which monitoring and clients expect there, and open to all as there.
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
    """Return the routes, to be registered under the base path."""
    about = Blueprint("about", __name__)

    @about.get("/health")
    def health() -> tuple[Response, int]:
        checks = [_database_check(database)]
        ok = all(check["ok"] for check in checks)
        watched = {"service": "streams", "ok": True, "open": streams.open_count, "limit": streams.limit}
        return jsonify(ok=ok, role=role, checks=[*checks, watched]), 200 if ok else 503

    @about.get("/versions")
    def versions() -> Response:
        ours = version("repo2hub")
        built_with = {"repo2docker-version": image_names.REPO2DOCKER_VERSION}
        answer = jsonify(repo2hub=ours, binderhub=f"repo2hub {ours}", builder_info=built_with)
        answer.headers["Access-Control-Allow-Origin"] = "*"
        return answer

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
        # Its text can hold the address with the password.
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
"""The providers of the build API, as BinderHub describes them to its launch form."""
