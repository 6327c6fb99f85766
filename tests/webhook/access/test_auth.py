"""Who may use the API: tokens, and on one machine everybody but web pages."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import TestResponse

from base.settings import SettingsError
from db.database import Database
from tests.webhook.records import Records
from webhook.access.auth import is_this_machine
from webhook.app import create_app
from webhook.settings import WebSettings

TOKENS = (SecretStr("first-token"), SecretStr("s\u00e9cond"))


@pytest.fixture
def app(settings: WebSettings, database: Database) -> Flask:
    return create_app(settings, database)


@pytest.fixture
def records(database: Database, settings: WebSettings) -> Records:
    return Records(database, settings, lambda: datetime.now(UTC))


@pytest.fixture
def guarded(settings: WebSettings, database: Database) -> FlaskClient:
    """A client of a service that wants a token."""
    changes: dict[str, Any] = {"auth": "token", "api_tokens": TOKENS, "host": "0.0.0.0"}
    return create_app(settings.model_copy(update=changes), database).test_client()


def _code(response: TestResponse) -> tuple[int, str]:
    return response.status_code, response.json["error"]["code"]  # type: ignore[index]


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer first-toke",
        "Basic first-token",
        "first-token",
        "Bearer \u00e9",
    ],
)
def test_requests_without_a_token_are_rejected(guarded: FlaskClient, authorization: str) -> None:
    response = guarded.get("/api/v1/builds", headers={"Authorization": authorization})
    assert _code(response) == (401, "token_needed")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("authorization", ["Bearer first-token", "token first-token", "bearer first-token"])
def test_every_token_gives_access_to_the_api(guarded: FlaskClient, authorization: str) -> None:
    headers = {"Authorization": authorization, "Host": "hub.example.org"}
    assert guarded.get("/api/v1/builds", headers=headers).status_code == 200
    asked = guarded.post("/api/v1/builds", json={}, headers=headers)
    assert _code(asked) == (422, "bad_repository")


def test_an_empty_token_gives_no_access(settings: WebSettings, database: Database) -> None:
    changes: dict[str, Any] = {"auth": "token", "api_tokens": (SecretStr(""), SecretStr("x"))}
    client = create_app(settings.model_copy(update=changes), database).test_client()
    assert client.get("/api/v1/builds", headers={"Authorization": "Bearer "}).status_code == 401


def test_health_is_open_to_all(guarded: FlaskClient) -> None:
    assert guarded.get("/health").status_code == 200
    assert guarded.get("/versions").status_code == 200


def test_without_authentication_only_loopback_addresses_are_allowed() -> None:
    with pytest.raises(SettingsError, match="REPO2HUB_AUTH"):
        WebSettings.load(host="0.0.0.0")
    with pytest.raises(SettingsError, match="REPO2HUB_API_TOKENS"):
        WebSettings.load(host="0.0.0.0", auth="token")


@pytest.mark.parametrize("sender", ["203.0.113.7", "127.0.0.1, 203.0.113.7", "2001:db8::1", "unknown"])
def test_requests_that_a_proxy_forwards_for_others_are_rejected(client: FlaskClient, sender: str) -> None:
    response = client.get("/api/v1/builds", headers={"X-Forwarded-For": sender})
    assert _code(response) == (403, "behind_proxy")


@pytest.mark.parametrize("sender", ["127.0.0.1", "::1", "::ffff:127.0.0.1, 127.0.0.1"])
def test_requests_that_a_proxy_forwards_for_this_machine_are_answered(
    client: FlaskClient, sender: str
) -> None:
    assert client.get("/api/v1/builds", headers={"X-Forwarded-For": sender}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8585", "127.0.0.1.evil.example", "", "[::1", "10.0.0.1"]
)
def test_a_foreign_host_header_is_rejected(client: FlaskClient, host: str) -> None:
    response = client.get("/api/v1/builds", headers={"Host": host})
    assert _code(response) == (403, "foreign_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8585", "127.0.0.1:8585", "127.9.9.9", "[::1]:8585"])
def test_loopback_host_headers_are_accepted(host: str) -> None:
    assert is_this_machine(host)


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:9999"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["builds", "builds/1/cancel", "builds/1/rebuild"])
def test_requests_from_other_sites_cannot_change_anything(
    client: FlaskClient, headers: dict[str, str], path: str
) -> None:
    response = client.post(f"/api/v1/{path}", json={"repository": "org/repo"}, headers=headers)
    assert _code(response) == (403, "cross_site")


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"]
)
def test_forms_without_an_origin_are_rejected(client: FlaskClient, content_type: str) -> None:
    body = '{"repository": "org/repo"}'
    response = client.post("/api/v1/builds", data=body, content_type=content_type)
    assert _code(response) == (415, "not_json")
    assert _code(client.post("/api/v1/builds/1/cancel")) == (415, "not_json")


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}])
def test_our_pages_and_scripts_can_change_things(client: FlaskClient, headers: dict[str, str]) -> None:
    response = client.post("/api/v1/builds/1/cancel", json={}, headers=headers)
    assert _code(response) == (404, "unknown_build")


def test_deliveries_are_accepted_under_any_host(deliver_through: Callable[[str], TestResponse]) -> None:
    assert deliver_through("some.tunnel.example").status_code == 200


@pytest.fixture
def deliver_through(client: FlaskClient) -> Callable[[str], TestResponse]:
    from tests.webhook.conftest import Deliver

    def send(host: str) -> TestResponse:
        return Deliver(client)("ping", {"zen": "x", "hook_id": 1}, Host=host)

    return send


PASSWORD = ("any name", "first-token")
PAGE = {"Accept": "text/html", "Host": "builds.example.org"}
FORM = {**PAGE, "Origin": "https://builds.example.org", "Sec-Fetch-Site": "same-origin"}


def test_browsers_log_in_with_a_token_as_the_password(
    guarded: FlaskClient,
) -> None:
    asked = guarded.get("/admin", headers=PAGE)
    assert asked.status_code == 401
    assert asked.headers["WWW-Authenticate"].startswith("Basic ")
    assert "any name and an API token as the password" in asked.text
    for wrong in (("any name", "wrong"), ("first-token", ""), ("", "first-toke")):
        assert guarded.get("/admin", headers=PAGE, auth=wrong).status_code == 401
    assert guarded.get("/admin", headers=PAGE, auth=PASSWORD).status_code == 200
    assert guarded.get("/api/v1/builds", auth=PASSWORD).status_code == 200


def test_public_pages_have_a_login_link(settings: WebSettings, database: Database) -> None:
    changes = {"auth": "token", "api_tokens": TOKENS, "public_pages": True, "base_url": "/r2h/"}
    client = create_app(settings.model_copy(update=changes), database).test_client()
    assert '<a class="login" href="/r2h/login">Log in</a>' in client.get("/r2h/", headers=PAGE).text
    asked = client.get("/r2h/login", headers=PAGE)
    assert (asked.status_code, asked.headers["WWW-Authenticate"][:5]) == (401, "Basic")
    led = client.get("/r2h/login", headers=PAGE, auth=PASSWORD)
    assert (led.status_code, led.headers["Location"]) == (302, "/r2h/")
    assert 'class="login"' not in client.get("/r2h/", headers=PAGE, auth=PASSWORD).text


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        (FORM, 303),
        ({**FORM, "Host": "127.0.0.1:8585"}, 403),
        ({**FORM, "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403),
        ({**FORM, "Sec-Fetch-Site": "same-site"}, 403),
        ({**PAGE, "Origin": "null"}, 403),
        (PAGE, 415),
    ],
)
def test_with_a_password_only_our_pages_can_change_things(
    guarded: FlaskClient, records: Records, headers: dict[str, str], answer: int
) -> None:
    build = records.push()
    told = guarded.post(f"/builds/{build}/cancel", data={"_xsrf": ""}, headers=headers, auth=PASSWORD)
    assert told.status_code == answer
    status = guarded.get(f"/api/v1/builds/{build}", auth=PASSWORD).json["status"]  # type: ignore[index]
    assert status == ("cancelled" if answer == 303 else "queued")


def test_behind_a_proxy_the_public_url_counts_as_our_site(
    settings: WebSettings, database: Database, records: Records
) -> None:
    changes = {"auth": "token", "api_tokens": TOKENS, "public_url": "https://builds.example.org"}
    client = create_app(settings.model_copy(update=changes), database).test_client()
    headers = {**FORM, "Host": "127.0.0.1:8585"}
    address = f"/builds/{records.push()}/cancel"
    assert client.post(address, data={"_xsrf": ""}, headers=headers, auth=PASSWORD).status_code == 303


def test_another_site_cannot_start_a_build_by_an_img_tag(guarded: FlaskClient) -> None:
    address = "/build/gh/org/repo/main?build_only=true"
    answer = guarded.get(address, auth=PASSWORD)
    assert '"failed"' in answer.text and "Authorization: Bearer" in answer.text
