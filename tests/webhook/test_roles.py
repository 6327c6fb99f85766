"""The web application in two processes: each answers its part, and says of the rest who does."""

import json
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from structlog.testing import capture_logs

from db.database import Database
from tests.webhook.records import Clock, Records
from webhook.app import create_app
from webhook.roles import serves
from webhook.settings import Role, WebSettings

EVENTS = {"Accept": "text/event-stream"}
BASE = "/services/binder"

As = Callable[[Role], Flask]


@pytest.fixture
def serving(settings: WebSettings, database: Database) -> As:
    def build(role: Role) -> Flask:
        return create_app(settings.model_copy(update={"role": role, "base_url": f"{BASE}/"}), database)

    return build


@pytest.fixture
def webhook(serving: As) -> FlaskClient:
    return serving("webhook").test_client()


@pytest.fixture
def streams(serving: As) -> FlaskClient:
    return serving("streams").test_client()


@pytest.fixture
def records(database: Database, settings: WebSettings) -> Records:
    return Records(database, settings, Clock())


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("/build/gh/org/repo/main", "streams"),
        ("/build/git/https%3A%2F%2Fgitlab.com%2Fo%2Fr/main", "streams"),
        ("/build/gh/org/repo/a\nb", "streams"),
        ("/api/v1/builds/1/log", "streams"),
        ("/api/v1/builds/x/log", "webhook"),
        ("/webhook/github", "webhook"),
        ("/api/v1/builds", "webhook"),
        ("/api/v1/builds/1", "webhook"),
        ("/api/v1/builds/1/cancel", "webhook"),
        ("/api/v1/images/gh/org/repo/api/v1/builds/1/log", "webhook"),
        ("/builds/1", "webhook"),
        ("/", "webhook"),
        ("/v2/gh/org/repo/build/x", "webhook"),
        ("/oauth_callback", "webhook"),
    ],
)
def test_each_path_has_one_role(path: str, role: Role) -> None:
    assert serves("all", path)
    assert (serves("streams", path), serves("webhook", path)) == (role == "streams", role == "webhook")


def test_every_route_has_one_role_or_is_about_the_process(serving: As) -> None:
    of_both = set()
    for rule in serving("all").url_map.iter_rules():
        path = rule.rule.removeprefix(BASE)
        roles = [role for role in ("webhook", "streams") if serves(role, path)]
        assert roles
        if len(roles) == 2:
            of_both.add(path)
    assert of_both == {"/health", "/versions", "/metrics", "/api/repoproviders"}


def test_a_delivery_to_the_streams_role_gets_a_421(streams: FlaskClient) -> None:
    with capture_logs() as said:
        answer = streams.post(f"{BASE}/webhook/github", json={})
    assert answer.status_code == 421 and answer.json is not None
    assert answer.json["error"]["code"] == "wrong_role"
    assert "--role webhook" in answer.json["error"]["message"]
    assert [(one["event"], one["role"], one["path"]) for one in said] == [
        ("web.wrong_role", "streams", f"{BASE}/webhook/github")
    ]


def test_the_streams_need_no_webhook_secret(settings: WebSettings, database: Database) -> None:
    app = create_app(settings.model_copy(update={"role": "streams", "webhook_secrets": ()}), database)
    assert app.test_client().get("/health").status_code == 200


def test_a_log_request_to_the_webhook_role_gets_a_421(webhook: FlaskClient, records: Records) -> None:
    build = records.push()
    for headers in (EVENTS, {}):
        answer = webhook.get(f"{BASE}/api/v1/builds/{build}/log", headers=headers)
        assert answer.status_code == 421 and answer.json is not None
        assert "--role streams" in answer.json["error"]["message"]


def test_a_page_of_the_wrong_role_is_an_error_page(streams: FlaskClient) -> None:
    answer = streams.get(f"{BASE}/builds/1", headers={"Accept": "text/html"})
    assert answer.status_code == 421 and "--role webhook" in answer.text and "<html" in answer.text


def test_clients_of_the_build_api_get_a_failed_event(webhook: FlaskClient) -> None:
    answer = webhook.get(f"{BASE}/build/gh/org/repo/main?build_only=true", headers=EVENTS)
    assert (answer.status_code, answer.content_type) == (200, "text/event-stream")
    (line,) = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    told = json.loads(line.removeprefix("data: "))
    assert (told["phase"], told["status_code"], told["code"]) == ("failed", 421, "wrong_role")
    assert "--role streams" in told["message"]


def test_each_role_serves_its_paths(webhook: FlaskClient, streams: FlaskClient, records: Records) -> None:
    build = records.push()
    lease = records.claim(build)
    records.write(lease, "a line\n")
    records.finish(lease)
    assert webhook.post(f"{BASE}/webhook/github", json={}).status_code == 401
    assert webhook.get(f"{BASE}/api/v1/builds/{build}").status_code == 200
    assert "a line" in streams.get(f"{BASE}/api/v1/builds/{build}/log", headers=EVENTS).text
    assert streams.get(f"{BASE}/api/v1/builds/{build}/log").text == "a line\n"
    ready = streams.get(f"{BASE}/build/gh/org/repo/main?build_only=true", headers=EVENTS).text
    assert '"phase": "ready"' in ready


@pytest.mark.parametrize("role", ["all", "webhook", "streams"])
def test_each_role_reports_itself(serving: As, role: Role) -> None:
    client = serving(role).test_client()
    health = client.get(f"{BASE}/health").json
    assert health is not None and health["role"] == role
    metrics = client.get(f"{BASE}/metrics").text
    assert f'repo2hub_web_info{{role="{role}"}} 1.0' in metrics
    places = 0 if role == "webhook" else 200
    assert f"repo2hub_stream_places {places}.0" in metrics


def test_outside_the_base_path_no_role_answers(streams: FlaskClient) -> None:
    assert streams.get("/webhook/github").status_code == 404
