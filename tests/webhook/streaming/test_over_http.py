"""Following a log over HTTP: resumed, refused above the cap, and of nothing that is not there."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from db.database import Database
from db.models import Build
from db.records import repositories
from tests.conftest import NOW
from tests.webhook.streaming.conftest import Finish, Write, log_texts, read_events
from webhook.access.auth import Guard
from webhook.access.permissions import User
from webhook.app import STREAMS, create_app
from webhook.settings import WebSettings


@pytest.fixture
def app(settings: WebSettings, database: Database) -> Iterator[Flask]:
    app = create_app(settings.model_copy(update={"max_streams": 1}), database)
    yield app
    app.extensions[STREAMS].close()


def _log(build: Build) -> str:
    return f"/api/v1/builds/{build.id}/log"


EVENTS = {"Accept": "text/event-stream"}


def test_over_http_the_stream_resumes_from_the_last_event_id(
    client: FlaskClient, running_build: Build, write: Write, finish: Finish
) -> None:
    write(*"abc")
    finish()
    by_header = client.get(_log(running_build), headers=EVENTS | {"Last-Event-ID": "1.1"})
    assert by_header.content_type == "text/event-stream; charset=utf-8"
    assert log_texts(read_events(by_header.data)) == ["b", "c"]
    by_query = client.get(f"{_log(running_build)}?after=1.2", headers=EVENTS)
    assert log_texts(read_events(by_query.data)) == ["c"]


def test_over_http_the_viewer_above_the_cap_is_told_so(client: FlaskClient, running_build: Build) -> None:
    first = client.get(_log(running_build), headers=EVENTS)
    second = client.get(_log(running_build), headers=EVENTS)
    assert (second.status_code, second.headers["Retry-After"]) == (503, "10")
    assert second.json is not None and second.json["error"]["code"] == "too_many_streams"
    first.close()  # never read, as where the browser is gone at once
    third = client.get(_log(running_build), headers=EVENTS)
    assert third.status_code == 200
    third.close()
    for response in (client.head(_log(running_build), headers=EVENTS) for _ in range(2)):
        assert response.status_code == 200
        response.close()


def test_over_http_who_reads_a_log_as_text_has_a_place_until_it_is_sent(
    client: FlaskClient, running_build: Build, write: Write
) -> None:
    write("a")
    first = client.get(_log(running_build))
    for headers in ({}, EVENTS):
        refused = client.get(_log(running_build), headers=headers)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
        assert refused.json is not None and refused.json["error"]["code"] == "too_many_streams"
    assert client.get("/health").json["checks"][1]["open"] == 1
    assert first.text == "a"
    first.close()
    for response in (client.head(_log(running_build)) for _ in range(2)):
        assert response.status_code == 200
        response.close()


def test_over_http_a_user_with_all_their_streams_is_told_so_and_others_get_theirs(
    settings: WebSettings, database: Database, running_build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.write() as session:
        repositories.record(session, full_name="Org/Repo", provider_id=1, private=False, now=NOW)
    app = create_app(settings.model_copy(update={"user_streams": 1}), database)
    client = app.test_client()
    monkeypatch.setattr(Guard, "user", lambda _: User("eve", is_admin=False))
    first = client.get(_log(running_build), headers=EVENTS)
    second = client.get(_log(running_build), headers=EVENTS)
    assert (second.status_code, second.headers["Retry-After"]) == (429, "10")
    assert (
        second.json is not None and "reached your limit of open logs (1)" in second.json["error"]["message"]
    )
    assert "repo2hub_refused_viewers_total 1.0" in client.get("/metrics").text
    monkeypatch.setattr(Guard, "user", lambda _: User("bob", is_admin=False))
    other = client.get(_log(running_build), headers=EVENTS)
    assert (first.status_code, other.status_code) == (200, 200)
    first.close()
    other.close()
    app.extensions[STREAMS].close()


@pytest.mark.parametrize("position", ["x", "1", "1.", "-1.2", "1.2.3", "9" * 30 + ".1"])
def test_a_position_that_is_none_is_refused(client: FlaskClient, running_build: Build, position: str) -> None:
    response = client.get(f"{_log(running_build)}?after={position}", headers=EVENTS)
    assert response.status_code == 422


def test_there_is_no_stream_of_an_unknown_build(client: FlaskClient) -> None:
    assert client.get("/api/v1/builds/77/log", headers=EVENTS).status_code == 404
