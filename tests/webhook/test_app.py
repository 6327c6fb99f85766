"""The application put together, and the server around it: errors, headers, health, start and stop."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy import text

from base.image_names import REPO2DOCKER_VERSION
from db.database import Database
from tests.conftest import COMMIT
from webhook.app import MAX_BODY, create_app
from webhook.binderhub.events import RETRY_BROKEN
from webhook.github.signature import HEADER, NoSecret, sign
from webhook.settings import WebSettings

pytestmark = pytest.mark.slow

LIMIT = 30.0
"""Seconds after which a test gives up waiting."""
STREAMS = 3
"""How many logs may be followed at once."""


@pytest.fixture
def app(settings: WebSettings, database: Database) -> Flask:
    return create_app(settings, database)


@pytest.fixture
def behind_a_path(settings: WebSettings, database: Database) -> FlaskClient:
    """A client of a service whose paths all begin with /services/binder/."""
    changed = settings.model_copy(update={"base_url": "/services/binder/"})
    return create_app(changed, database).test_client()


@pytest.fixture
def unreachable(settings: WebSettings) -> FlaskClient:
    """A client of a service whose database is no database."""
    return create_app(settings, Database("sqlite:////")).test_client()


def test_everything_is_under_the_base_path(behind_a_path: FlaskClient) -> None:
    base = "/services/binder"
    for path in ("/", "/health", "/versions", "/api/v1/builds"):
        assert behind_a_path.get(f"{base}{path}").status_code == 200
        assert behind_a_path.get(path).status_code == 404
    assert behind_a_path.post(f"{base}/webhook/github").status_code == 401
    asked = behind_a_path.post(f"{base}/api/v1/builds", json={"repository": "org/repo", "ref": COMMIT})
    link = asked.headers["Location"]
    assert link.startswith(f"{base}/api/v1/builds/")
    assert behind_a_path.get(link).status_code == 200


def test_versions_are_told_as_binderhub_tells_them(client: FlaskClient) -> None:
    told = client.get("/versions").json
    assert told is not None and told["repo2hub"]
    assert told["builder_info"] == {"repo2docker-version": REPO2DOCKER_VERSION}


def test_health_is_good_while_the_database_answers(client: FlaskClient, database: Database) -> None:
    good = client.get("/health")
    assert good.status_code == 200 and good.json is not None and good.json["ok"]
    assert good.json["checks"][0] == {"service": "database", "kind": "sqlite", "ok": True}
    with database.write() as session:
        session.execute(text("DROP TABLE log_chunk"))
        session.execute(text("ALTER TABLE build RENAME TO was_build"))
    bad = client.get("/health")
    assert bad.status_code == 503 and bad.json is not None and not bad.json["ok"]


def test_a_database_that_does_not_answer_is_a_503_without_its_message(
    client: FlaskClient, database: Database
) -> None:
    with database.write() as session:
        session.execute(text("DROP TABLE log_chunk"))
        session.execute(text("ALTER TABLE build RENAME TO was_build"))
    response = client.get("/api/v1/builds")
    assert response.status_code == 503 and response.headers["Retry-After"]
    assert response.json is not None and response.json["error"]["code"] == "database_unavailable"
    assert "was_build" not in response.text and "SELECT" not in response.text


@pytest.mark.parametrize(
    "path", ["/api/v1/builds", "/api/v1/images/gh/org/repo/main", "/badge/gh/org/repo/main.svg"]
)
def test_a_database_that_cannot_be_reached_is_a_503_to_whatever_is_asked(
    unreachable: FlaskClient, path: str
) -> None:
    response = unreachable.get(path)
    assert response.status_code == 503 and response.headers["Retry-After"]
    assert response.json is not None and response.json["error"]["code"] == "database_unavailable"


def test_whoever_follows_a_build_comes_back_to_a_database_that_could_not_be_reached(
    unreachable: FlaskClient,
) -> None:
    told = unreachable.get("/build/gh/org/repo/main?build_only=true").text
    assert told.startswith(f"retry: {RETRY_BROKEN}\n\n") and '"status_code": 503' in told


def test_a_fault_of_ours_is_a_500_without_its_message(app: Flask) -> None:
    @app.get("/fault")
    def fault() -> str:
        raise RuntimeError("secret of the house")

    response = app.test_client().get("/fault")
    assert response.status_code == 500
    assert response.json is not None and response.json["error"]["code"] == "internal_error"
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "not_found"),
        ("GET", "/api/v1/nope", 404, "not_found"),
        ("GET", "/api/v1/images/gl/org/repo/main", 404, "not_found"),
        ("DELETE", "/api/v1/builds", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("GET", "/webhook/github", 405, "method_not_allowed"),
    ],
)
def test_every_error_is_json(client: FlaskClient, method: str, path: str, status: int, code: str) -> None:
    response = client.open(path, method=method)
    assert response.status_code == status
    assert response.json is not None and response.json["error"]["code"] == code
    assert (status != 405) or response.headers["Allow"]


def test_a_request_that_is_too_large_is_refused(client: FlaskClient) -> None:
    body = b'{"repository": "' + b"x" * MAX_BODY + b'"}'
    response = client.post("/api/v1/builds", data=body, content_type="application/json")
    assert response.status_code == 413 and response.json is not None and response.json["error"]["code"]


def test_a_delivery_may_be_larger_than_a_request_to_the_api(client: FlaskClient) -> None:
    signed = {HEADER: sign(b"", b"another secret")}
    response = client.post("/webhook/github", data=b"x" * (2 * MAX_BODY), headers=signed)
    assert response.status_code == 401  # it was read whole, and then not believed


@pytest.mark.parametrize("path", ["/", "/health", "/api/v1/builds", "/nope"])
def test_no_answer_can_do_anything_in_a_browser(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_without_a_webhook_secret_it_does_not_start(settings: WebSettings, database: Database) -> None:
    with pytest.raises(NoSecret, match="REPO2HUB_WEBHOOK_SECRETS"):
        create_app(settings.model_copy(update={"webhook_secrets": ()}), database)
    with pytest.raises(NoSecret):
        create_app(settings.model_copy(update={"webhook_secrets": (SecretStr(" "),)}), database)
