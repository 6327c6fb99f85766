"""BinderHub's build API at whatever path below /build/: its clients understand nothing but its events."""

import json
from urllib.parse import unquote_to_bytes

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from db.database import Database
from tests.webhook.binderhub.conftest import EVENTS
from webhook.app import create_app
from webhook.settings import WebSettings

PIECES = [
    "gh/",
    "git/",
    "a",
    "/",
    "https:",
    "https%3A%2F%2F",
    "gitlab.com",
    "[",
    "]",
    "@",
    ":",
    "..",
    "%",
    "-",
]
ENCODED = ["%2F", "%0D", "%0A", "%00", "%1B", "%E2%80%A8", "%ff", "%20", "%3F", "%23", "%5B"]
RAW = st.lists(st.sampled_from(PIECES + ENCODED), min_size=1, max_size=12).map("".join)


@pytest.fixture
def client(settings: WebSettings, database: Database) -> FlaskClient:
    """A client of a service that has no git: nobody is asked."""
    return create_app(settings, database, environ={"PATH": "/nonexistent"}).test_client()


def test_any_path_is_answered_with_events_to_the_last(client: FlaskClient) -> None:
    @hypothesis_settings(
        max_examples=200, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(RAW)
    @example("git/https://[x/HEAD")
    @example("gh/a/b/x%0D%0Ay")
    @example("%0A")
    @example("/")
    def check(raw: str) -> None:
        path = f"/build/{raw}"
        # As some WSGI servers pass it.
        sent = {"RAW_URI": path, "PATH_INFO": unquote_to_bytes(path).decode("latin-1")}
        with client.get("/", environ_overrides=sent, headers=EVENTS) as answer:
            assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
            *_, last = (line for line in answer.text.split("\n") if line.startswith("data:"))
        assert json.loads(last.removeprefix("data:"))["phase"] in ("ready", "failed")

    check()
