"""BinderHub's build API as its clients read it, with git's own server for GitHub."""

import json
import time
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from db.database import Database
from db.models import Build
from db.queue import supersede, transitions
from db.status import Priority, Status, Trigger
from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.conftest import COMMIT, NOW
from tests.webhook.binderhub.conftest import EVENTS, LIMIT, Ask, Event, Request, build_count
from tests.webhook.records import Clock, Records
from webhook.app import STREAMS, create_app
from webhook.builds.service import BuildService
from webhook.http.errors import HttpError
from webhook.lookup.find_image import Lookup
from webhook.settings import WebSettings


def _messages(events: list[Event]) -> str:
    return "".join(event["message"] for event in events)


def test_an_image_that_is_there_is_answered_at_once(ask: Ask, records: Records) -> None:
    name = records.succeed(records.push())
    (event,) = ask("gh/org/repo/main").ended()
    assert event["phase"] == "ready"
    assert event["imageName"] == name
    assert event["cached"] is True
    assert event["commit"] == COMMIT
    assert event["message"].endswith("\n")


@pytest.mark.parametrize(
    "spec",
    [
        "gh/org/repo/main",
        "gh/ORG/Repo/main",
        "gh/org/repo.git/main",
        "gh/org/repo/main/",
        "gh/org/repo/HEAD",
        "gh/org/repo",
        "gh/org/repo/refs/heads/main",
        "gh/org/repo/refs%2Fheads%2Fmain",
        "gh/org%2Frepo/main",
        f"gh/org/repo/{COMMIT}",
        f"gh/org/repo/{COMMIT.upper()}",
    ],
)
def test_every_way_to_write_it_finds_the_same_image(ask: Ask, records: Records, spec: str) -> None:
    name = records.succeed(records.push())
    assert ask(spec).ended()[-1]["imageName"] == name


def test_a_build_is_asked_for_and_followed_to_its_image(
    ask: Ask, records: Records, remote_repository: BareRepository, database: Database
) -> None:
    commit = remote_repository.head()
    request = ask("gh/org/repo/main")
    waiting = request.until("Waiting for a builder")
    assert waiting["phase"] == "waiting"
    assert (waiting["queue_position"], waiting["commit"], waiting["ref"]) == (1, commit, "refs/heads/main")
    with database.read() as session:
        build = session.get_one(Build, waiting["build_id"])
    assert (build.trigger, build.priority, build.status) == (Trigger.LAUNCH, Priority.INTERACTIVE, "queued")
    lease = records.claim(build.id)
    records.write(lease, "Step 1\n", "Step 2\n")
    request.until("Step 2")
    name = records.finish(lease)
    events = request.ended()
    assert events[-1]["phase"] == "ready" and events[-1]["imageName"] == name
    assert events[-1]["log_url"] == f"/api/v1/builds/{build.id}/log"
    assert _messages(events).index("Step 1") < _messages(events).index("Step 2")


@pytest.mark.parametrize(
    ("spec", "status", "words"),
    [
        ("gh/org/nothing/main", 404, "Repository org/nothing not found on GitHub"),
        ("gh/org/repo/no-such-branch", 404, "Branch or tag no-such-branch not found"),
        ("gh/org/repo/-x", 400, "not a valid git name"),
        ("gh/org", 400, "Enter the repository as org/repo"),
        ("gh/org/../main", 400, "Enter the repository as org/repo"),
        ("gl/group%2Fproject/main", 400, "gh/<org>/<repo>/<ref> and git/<URL-encoded address>/<ref>"),
        ("gh/bad/repo/main", 403, "does not build bad/repo"),
        ("git/https%3A%2F%2Fevil.example%2Fa/main", 403, "REPO2HUB_GIT_HOSTS"),
        ("git/https://gitlab.com/a/b/main", 400, "Encode the slashes"),
        ("git/ssh%3A%2F%2Fgit@gitlab.com%2Fa%2Fb/main", 400, "https://host/path"),
    ],
)
@pytest.mark.usefixtures("remote_repository")
def test_what_cannot_be_built_is_told_in_one_event(
    ask: Ask, database: Database, spec: str, status: int, words: str
) -> None:
    (event,) = ask(spec).ended()
    assert (event["phase"], event["status_code"]) == ("failed", status)
    assert words in event["message"]
    assert build_count(database) == 0


def test_a_branch_that_was_renamed_is_looked_for_at_head(
    ask: Ask, records: Records, remote_repository: BareRepository
) -> None:
    request = ask("gh/org/repo/master")
    assert "Retrying with HEAD" in request.until("HEAD")["message"]
    assert request.until("Waiting")["ref"] == "refs/heads/main"


def test_it_is_asked_for_as_a_stream_of_events_or_with_build_only(
    client: FlaskClient, records: Records
) -> None:
    name = records.succeed(records.push())
    no_stream = client.get("/build/gh/org/repo/main", headers={"Accept": "*/*"})
    assert no_stream.status_code == 200
    (event,) = _read(no_stream.data)
    assert event["status_code"] == 400 and "Missing Accept header" in event["message"]
    (event,) = _read(client.get("/build/gh/org/repo/main?build_only=TRUE", headers={"Accept": "*/*"}).data)
    assert event["imageName"] == name


def _read(data: bytes) -> list[Event]:
    return [json.loads(line[5:]) for line in data.decode().split("\n") if line.startswith("data:")]


def test_who_wants_a_server_started_gets_the_image_and_is_told_that_none_comes(
    ask: Ask, records: Records, remote_repository: BareRepository
) -> None:
    request = ask("gh/org/repo/main", query="")
    name = records.finish(records.claim(request.until("Waiting")["build_id"]))
    for built, last in (request.ended()[-2:], ask("gh/org/repo/main", query="").ended()):
        assert (built["phase"], built["imageName"]) == ("built", name)
        assert last["phase"] == "failed" and "build_only=true" in last["message"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_get_an_event_too(client: FlaskClient, method: str, database: Database) -> None:
    answer = client.open("/build/gh/org/repo/main?build_only=true", method=method, headers=EVENTS)
    assert answer.status_code == 200
    (event,) = _read(answer.data)
    assert (event["phase"], event["status_code"]) == ("failed", 405)


def test_a_head_request_starts_nothing(
    client: FlaskClient, database: Database, remote_repository: BareRepository
) -> None:
    answer = client.head("/build/gh/org/repo/main?build_only=true", headers=EVENTS)
    assert (answer.status_code, answer.content_type, answer.data) == (200, "text/event-stream", b"")
    assert build_count(database) == 0


def test_requests_at_once_share_one_build_and_one_log(
    ask: Ask, records: Records, remote_repository: BareRepository, database: Database
) -> None:
    spelt = ["gh/org/repo/main", "gh/Org/Repo/HEAD", "gh/ORG/REPO.git/refs%2Fheads%2Fmain"] * 3
    requests = [ask(spec) for spec in spelt]
    ids = {request.until("Waiting")["build_id"] for request in requests}
    assert len(ids) == 1 == build_count(database)
    lease = records.claim(ids.pop())
    records.write(lease, "one\n")
    requests[0].until("one")
    late = ask("gh/org/repo/main")
    late.until("one")
    records.write(lease, "two\n")
    name = records.finish(lease)
    for request in [*requests, late]:
        events = request.ended()
        assert events[-1]["imageName"] == name
        assert [event["message"] for event in events if event["phase"] == "fetching"] == ["one\n", "two\n"]


def test_a_push_s_build_that_somebody_waits_for_goes_first(
    ask: Ask, records: Records, database: Database
) -> None:
    build = records.push()
    assert ask("gh/org/repo/main").until("Waiting")["build_id"] == build
    with database.read() as session:
        assert session.get_one(Build, build).priority == Priority.INTERACTIVE


def test_who_waits_in_vain_is_told_that_there_may_be_no_builder(
    ask: Ask, records: Records, clock: Clock
) -> None:
    records.push()
    request = ask("gh/org/repo/main")
    request.until("Waiting for a builder")
    clock.now += timedelta(seconds=31)
    assert request.until("No builder has started this build yet")["queue_position"] == 1
    records.fail(1)
    assert [event["phase"] for event in request.ended()] == ["waiting", "waiting", "failed"]


def test_a_viewer_who_leaves_stops_nothing(
    app: Flask, ask: Ask, records: Records, remote_repository: BareRepository, database: Database
) -> None:
    response = app.test_client().get("/build/gh/org/repo/main?build_only=true", headers=EVENTS)
    pieces = iter(response.response)
    sent = b"".join(next(pieces) for _ in range(2)).decode()  # type: ignore[arg-type]
    response.close()
    assert app.extensions[STREAMS].open_count == 0
    (waiting,) = _read(sent.encode())
    with database.read() as session:
        build = session.get_one(Build, waiting["build_id"])
    assert build.status is Status.QUEUED and build.cancel_requested_at is None


def test_a_failure_is_replayed_to_who_asks_again_soon(
    ask: Ask, records: Records, remote_repository: BareRepository, database: Database, clock: Clock
) -> None:
    first = ask("gh/org/repo/main")
    records.fail(first.until("Waiting")["build_id"], log=["Collecting nunpy\n"])
    *_, last = first.ended()
    clock.now += timedelta(seconds=20)
    told, chunk, again = ask("gh/org/repo/main").ended()
    assert "ended 20 s ago" in told["message"] and "request it again in 40 s" in told["message"]
    assert chunk["message"] == "Collecting nunpy\n"
    assert again == last and last["message"] == "No package nunpy.\n" and last["cause"] == "package_not_found"
    assert build_count(database) == 1


def test_each_failure_makes_the_wait_longer_and_a_success_makes_it_short_again(
    ask: Ask, records: Records, remote_repository: BareRepository, clock: Clock
) -> None:
    for minutes in (1, 2, 4):
        request = ask("gh/org/repo/main")
        records.fail(request.until("Waiting")["build_id"])
        request.ended()
        clock.now += timedelta(minutes=minutes, seconds=-1)
        assert "without an image" in ask("gh/org/repo/main").ended()[0]["message"]
        clock.now += timedelta(seconds=1)
    request = ask("gh/org/repo/main")
    records.succeed(request.until("Waiting")["build_id"])
    assert request.ended()[-1]["phase"] == "ready"


@pytest.mark.usefixtures("remote_repository")
@pytest.mark.parametrize("how", ["header", "query"])
def test_a_browser_that_merely_reconnects_never_builds(
    ask: Ask, records: Records, clock: Clock, database: Database, how: str
) -> None:
    request = ask("gh/org/repo/main")
    build: int = request.until("Waiting")["build_id"]
    records.fail(build)
    request.ended()
    assert f"id: {build}\n\n".encode() in request.sent and b"retry: 86400000\n" in request.sent
    clock.now += timedelta(days=2)
    if how == "header":
        again = ask("gh/org/repo/main", Last_Event_ID=str(build))
    else:
        again = ask("gh/org/repo/main", query=f"?build_only=true&lastEventId={build}")
    assert again.ended()[-1]["message"] == "No package nunpy.\n"
    assert build_count(database) == 1
    ask("gh/org/repo/main").until("Waiting")


def test_a_cancelled_build_is_told_and_not_started_again_at_once(
    ask: Ask, client: FlaskClient, remote_repository: BareRepository, database: Database
) -> None:
    request = ask("gh/org/repo/main")
    build = request.until("Waiting")["build_id"]
    assert client.post(f"/api/v1/builds/{build}/cancel", json={}).status_code == 200
    assert "cancelled" in request.ended()[-1]["message"]
    assert "cancelled" in ask("gh/org/repo/main").ended()[-1]["message"]
    assert build_count(database) == 1
    rebuilt = client.post(f"/api/v1/builds/{build}/rebuild", json={})
    assert rebuilt.status_code == 202
    assert ask("gh/org/repo/main").until("Waiting")["build_id"] == rebuilt.json["build"]["id"]  # type: ignore[index]


@pytest.mark.usefixtures("remote_repository")
def test_a_build_that_is_being_cancelled_is_followed_to_its_end_and_not_wished_for(
    ask: Ask, client: FlaskClient, records: Records, database: Database
) -> None:
    build = ask("gh/org/repo/main").until("Waiting")["build_id"]
    lease = records.claim(build)
    records.write(lease, "Fetching\n")
    assert client.post(f"/api/v1/builds/{build}/cancel", json={}).status_code == 202
    again = ask("gh/org/repo/main")
    again.until("Fetching")
    with database.write() as session:
        assert transitions.release(session, lease, now=NOW)
    assert "cancelled" in again.ended()[-1]["message"]


def test_a_build_that_the_queue_dropped_by_itself_is_started_at_once(
    ask: Ask, records: Records, database: Database
) -> None:
    build = records.push()
    with database.write() as session:
        supersede.cancel_ref(session, records.repository(session), "refs/heads/main", now=NOW)
    assert ask(f"gh/org/repo/{COMMIT}").until("Waiting")["build_id"] != build


def test_while_github_is_away_the_last_known_image_is_served(
    ask: Ask, restarted: Ask, records: Records, remote_repository: BareRepository, github: GitServer
) -> None:
    request = ask("gh/org/repo/main")
    name = records.succeed(request.until("Waiting")["build_id"])
    request.ended()
    github.stop()
    (event,) = restarted("gh/org/repo/main").ended()
    assert event["imageName"] == name and event["stale"] is True
    assert "last known commit, since GitHub cannot be reached" in event["message"]
    (event,) = restarted("gh/org/other/main").ended()
    assert event["status_code"] == 503 and "GitHub could not be reached" in event["message"]


@pytest.mark.usefixtures("remote_repository")
def test_while_github_is_away_nothing_is_built_of_a_guess(
    ask: Ask, restarted: Ask, records: Records, github: GitServer, clock: Clock
) -> None:
    request = ask("gh/org/repo/main")
    build = request.until("Waiting")["build_id"]
    github.stop()
    joined = restarted("gh/org/repo/main")
    assert joined.until("Waiting")["build_id"] == build
    assert "using the last known commit" in joined.so_far[0]["message"]
    records.fail(build)
    joined.ended()
    clock.now += timedelta(hours=1)
    last = restarted("gh/org/repo/main").ended()[-1]
    assert last["status_code"] == 503 and "no image" in last["message"]


def test_the_viewer_above_the_cap_is_told_when_to_come_back(
    settings: WebSettings, database: Database, records: Records, clock: Clock
) -> None:
    app = create_app(settings.model_copy(update={"max_streams": 1}), database, clock=clock)
    build = records.push()
    first = Request(app.test_client(), "/build/gh/org/repo/main?build_only=true", EVENTS)
    first.until("Waiting")
    second = Request(app.test_client(), "/build/gh/org/repo/main?build_only=true", EVENTS).ended()[-1]
    assert (second["phase"], second["status_code"], second["retry_after"]) == ("failed", 503, 60)
    assert f"build {build} continues" in second["message"]
    app.extensions[STREAMS].close()
    last = first.ended()[-1]
    assert last["status_code"] == 503 and "restarting" in last["message"]
    assert b"retry: 3000\n" in first.sent


def test_a_limit_that_refuses_is_told_as_an_event(
    ask: Ask, remote_repository: BareRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise HttpError(429, "too_many_builds", "You have 3 builds already.", {"Retry-After": "90"})

    monkeypatch.setattr(BuildService, "enqueue", refuse)
    request = ask("gh/org/repo/main")
    (event,) = request.ended()
    assert (event["status_code"], event["code"], event["retry_after"]) == (429, "too_many_builds", 90)
    assert b"retry: 90000\n" in request.sent


@pytest.mark.parametrize(
    ("error", "status"),
    [(OperationalError("SELECT", {}, Exception("p4ssword")), 503), (KeyError("p4ss"), 500)],
)
def test_what_goes_wrong_here_is_told_without_its_details(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Lookup, "find", fail)
    request = ask("gh/org/repo/main")
    assert request.ended()[-1]["status_code"] == status
    assert b"p4ss" not in request.sent


@pytest.mark.parametrize(
    "text", ["x\n\ndata: {}\n\n", "\r\rdata: x\r\n", "\u2028\u2029\x85", ": c\n\n\x00\x1b]0;t\x07"]
)
def test_no_text_of_a_log_can_end_an_event_or_begin_another(
    ask: Ask, records: Records, remote_repository: BareRepository, text: str
) -> None:
    request = ask("gh/org/repo/main")
    lease = records.claim(request.until("Waiting")["build_id"])
    records.write(lease, text)
    records.finish(lease)
    events = request.ended()
    assert [event["message"] for event in events if event["phase"] == "fetching"] == [
        text.replace("\0", "\ufffd")
    ]
    assert request.sent.isascii() and b"\r" not in request.sent


def test_silence_is_broken_by_comments(app: Flask, ask: Ask, records: Records) -> None:
    app.extensions[STREAMS].keep_alive = 0.01
    records.push()
    request = ask("gh/org/repo/main")
    request.until("Waiting")
    deadline = time.monotonic() + LIMIT
    while b"\n\n:keepalive\n\n:keepalive\n\n" not in request.sent:
        assert time.monotonic() < deadline
        time.sleep(0.01)
