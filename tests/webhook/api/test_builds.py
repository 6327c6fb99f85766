"""Builds by the API as scripts use it: asked for, listed, read, cancelled."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from db.models import Build
from db.queue import transitions
from db.records import logs, repositories
from db.status import Lease
from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.conftest import COMMIT, NOW
from tests.webhook.api.conftest import OTHER, Lookup, error_of, json_of
from tests.webhook.records import Clock, Records

# Asking for builds


@pytest.fixture
def ask(client: FlaskClient) -> Callable[..., TestResponse]:
    def post(body: object) -> TestResponse:
        return client.post("/api/v1/builds", json=body)

    return post


Ask = Callable[..., TestResponse]


def test_a_build_is_queued_then_joined_then_its_image_is_there(
    ask: Ask, records: Records, remote_repository: BareRepository
) -> None:
    response = ask({"repository": "Org/Repo"})
    queued = json_of(response, 202)
    build = queued["build"]
    assert queued["outcome"] == "queued"
    assert build["commit"] == remote_repository.head()
    assert (build["ref"], build["trigger"], build["queue_position"]) == ("refs/heads/main", "manual", 1)
    assert response.headers["Location"] == build["links"]["self"] == f"/api/v1/builds/{build['id']}"
    joined = json_of(ask({"repository": "org/repo", "ref": "main"}), 202)
    assert (joined["outcome"], joined["build"]["id"]) == ("joined", build["id"])
    name = records.succeed(build["id"])
    there = json_of(ask({"repository": f"{records.settings.github_url}/org/repo"}), 200)
    assert (there["outcome"], there["image"]["image"]) == ("exists", name)
    forced = json_of(ask({"repository": "org/repo", "force": True}), 202)
    assert forced["build"]["id"] != build["id"] and forced["build"]["force"] is True


def test_a_request_after_a_push_gets_the_new_commit(
    ask: Ask, lookup: Lookup, remote_repository: BareRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup("main")
    newer = remote_repository.commit({"n": "n"})
    monkeypatch.setattr("webhook.builds.service.BUILD_MAX_AGE", timedelta(0))
    assert json_of(ask({"repository": "org/repo", "ref": "main"}), 202)["build"]["commit"] == newer


def test_a_full_commit_is_built_without_asking_github(ask: Ask, github: GitServer) -> None:
    build = json_of(ask({"repository": "org/repo", "ref": OTHER}), 202)["build"]
    assert (build["commit"], build["ref"]) == (OTHER, "")
    assert github.requests == []


def test_a_restored_repository_keeps_its_recorded_name(
    ask: Ask, records: Records, remote_repository: BareRepository
) -> None:
    with records.database.write() as session:
        repositories.disable(session, records.repository(session))
    told = json_of(ask({"repository": "ORG/REPO", "ref": "HEAD"}), 202)
    assert (told["build"]["repository"], told["build"]["ref"]) == ("Org/Repo", "refs/heads/main")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"repository": "org/repo", "ref": "nope"}, (404, "unknown_ref")),
        ({"repository": "org/nope"}, (404, "unknown_repository")),
        ({"repository": "bad/repo"}, (403, "repository_banned")),
        ({"repository": "https://evil.example/org/repo"}, (422, "bad_repository")),
        ({"repository": 7}, (422, "bad_repository")),
        ({}, (422, "bad_repository")),
        ({"repository": "org/repo", "ref": None}, (422, "bad_ref")),
        ({"repository": "org/repo", "ref": "--upload-pack=id"}, (422, "bad_ref")),
        ({"repository": "org/repo", "force": "yes"}, (422, "bad_force")),
        ({"repository": "org/repo", "forced": True}, (422, "unknown_field")),
        ([], (422, "bad_body")),
        ("org/repo", (422, "bad_body")),
    ],
)
def test_an_invalid_request_says_why(
    ask: Ask, client: FlaskClient, remote_repository: BareRepository, body: object, expected: tuple[int, str]
) -> None:
    assert error_of(ask(body)) == expected
    assert json_of(client.get("/api/v1/builds"), 200)["builds"] == []


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 5000])
def test_a_body_that_is_not_json_is_rejected(client: FlaskClient, data: bytes) -> None:
    response = client.post("/api/v1/builds", data=data, content_type="application/json")
    assert error_of(response) == (422, "bad_body")


# Builds


def test_a_build_has_all_that_a_page_needs(client: FlaskClient, records: Records) -> None:
    build = records.push()
    name = records.succeed(build)
    told = json_of(client.get(f"/api/v1/builds/{build}"), 200)
    assert told["status"] == "succeeded" and told["queue_position"] is None
    assert told["image"] == {"image": name, "digest": f"sha256:{build}"}
    assert told["durations"] == {"waiting": 0.0, "total": 9.0}
    assert told["finished_at"] == "2026-11-23T12:00:09Z" and told["advice"] is None
    records.fail(records.push(OTHER))
    failed = json_of(client.get(f"/api/v1/builds/{build + 1}"), 200)
    assert (failed["reason"], failed["cause"], failed["image"]) == ("user_error", "package_not_found", None)
    assert failed["advice"]["who"] == "repository owner" and failed["advice"]["text"].startswith(
        "Check the package name"
    )


def test_each_phase_has_a_duration(client: FlaskClient, records: Records, clock: Clock) -> None:
    build = records.push()
    with records.database.write() as session:
        transitions.claim(session, worker="w", now=NOW + timedelta(seconds=2))
        for seconds, phase in ((3, "fetching"), (5, "building")):
            moment = {f"{phase}_at": NOW + timedelta(seconds=seconds), "phase": phase}
            session.query(Build).update(moment)
    clock.now += timedelta(seconds=15)
    told = json_of(client.get(f"/api/v1/builds/{build}"), 200)
    assert told["durations"] == {"waiting": 2.0, "fetching": 2.0, "building": 10.0, "total": 15.0}


@pytest.mark.parametrize("build", ["1", "0", "-1", "x", "1.0", "9" * 19, "9" * 30, "9" * 5000, "%31"])
@pytest.mark.parametrize("what", ["", "/log", "/cancel", "/rebuild"])
def test_an_unknown_build_is_not_found(client: FlaskClient, build: str, what: str) -> None:
    method = client.post if what in ("/cancel", "/rebuild") else client.get
    options = {"json": {}} if what in ("/cancel", "/rebuild") else {}
    assert error_of(method(f"/api/v1/builds/{build}{what}", **options)) == (404, "unknown_build")


def test_builds_are_listed_newest_first_page_by_page(client: FlaskClient, records: Records) -> None:
    ids = [records.push(f"{number:040x}") for number in range(1, 6)]
    address, seen = "/api/v1/builds?repository=ORG/repo&limit=2", []
    while address:
        page = json_of(client.get(address), 200)
        assert len(page["builds"]) <= 2
        seen += [build["id"] for build in page["builds"]]
        address = page["next"]
    assert seen == ids[::-1]


def test_builds_are_listed_by_repository_ref_and_status(client: FlaskClient, records: Records) -> None:
    main = records.push()
    records.succeed(main)
    tag = records.push(OTHER, "refs/tags/v1")

    def listed(query: str) -> list[int]:
        return [build["id"] for build in json_of(client.get(f"/api/v1/builds?{query}"), 200)["builds"]]

    assert listed("") == [tag, main]
    assert listed("repository=org/repo&ref=main") == [main]
    assert listed("repository=org/repo&ref=HEAD") == [main]
    assert listed("repository=org/repo&ref=v1") == listed("repository=org/repo&ref=refs/tags/v1") == [tag]
    assert listed("status=succeeded") == [main]
    assert listed("status=failed") == listed("repository=org/other") == []
    assert listed("repository=org/repo&ref=nope") == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "bad_limit"),
        ("limit=101", "bad_limit"),
        ("limit=x", "bad_limit"),
        ("before=" + "9" * 30, "bad_before"),
        ("status=nope", "bad_status"),
        ("ref=main", "bad_ref"),
        ("repository=org", "bad_repository"),
        ("repository=org/repo&ref=a..b", "bad_ref"),
    ],
)
def test_an_invalid_filter_says_why(client: FlaskClient, records: Records, query: str, code: str) -> None:
    records.push()
    assert error_of(client.get(f"/api/v1/builds?{query}")) == (422, code)


def test_a_cancellation_depends_on_the_builds_status(client: FlaskClient, records: Records) -> None:
    def cancel(build: int) -> TestResponse:
        return client.post(f"/api/v1/builds/{build}/cancel", json={})

    waiting = records.push()
    assert json_of(cancel(waiting), 200)["build"]["status"] == "cancelled"
    running = records.push(OTHER)
    records.claim(running)
    asked = json_of(cancel(running), 202)
    assert (asked["outcome"], asked["build"]["cancel_requested"]) == ("requested", True)
    assert error_of(cancel(waiting)) == (409, "already_finished")


def test_a_new_request_withdraws_a_cancellation(client: FlaskClient, records: Records) -> None:
    build = records.push()
    records.claim(build)
    assert client.post(f"/api/v1/builds/{build}/cancel", json={}).status_code == 202
    wish = {"repository": "org/repo", "ref": COMMIT}
    joined = json_of(client.post("/api/v1/builds", json=wish), 202)
    assert (joined["outcome"], joined["build"]["cancel_requested"]) == ("joined", False)


def test_a_rebuild_creates_a_build_although_the_image_exists(client: FlaskClient, records: Records) -> None:
    first = records.push()
    records.succeed(first)
    again = json_of(client.post(f"/api/v1/builds/{first}/rebuild", json={}), 202)["build"]
    assert again["id"] != first
    assert (again["commit"], again["ref"], again["force"]) == (COMMIT, "refs/heads/main", True)


# Logs as text


def _write_log(records: Records, lease: Lease, texts: list[str]) -> None:
    with records.database.write() as session:
        assert logs.append(session, lease, first_seq=1, texts=texts, now=NOW)


def test_a_log_is_plain_text_whatever_it_contains(client: FlaskClient, records: Records) -> None:
    build = records.push()
    hostile = ["<script>alert(1)</script>\n", "\x1b[31m\u2028 \u00e9\n", *(f"line {n}\n" for n in range(170))]
    lease = records.claim(build)
    assert client.get(f"/api/v1/builds/{build}/log").data == b""
    _write_log(records, lease, hostile)
    response = client.get(f"/api/v1/builds/{build}/log")
    assert response.data.decode() == "".join(hostile)
    assert response.content_type == "text/plain; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_a_log_is_that_of_the_requested_or_the_last_attempt(client: FlaskClient, records: Records) -> None:
    build = records.push()
    lease = records.claim(build)
    _write_log(records, lease, ["first"] * 60)
    with records.database.write() as session:
        transitions.release(session, lease, now=NOW)
    _write_log(records, records.claim(build), ["second"])
    address = f"/api/v1/builds/{build}/log"
    assert client.get(address).text == "second"
    assert client.get(f"{address}?attempt=1").text == "first" * 60
    assert client.get(f"{address}?attempt=3").text == ""
    assert error_of(client.get(f"{address}?attempt=0")) == (422, "bad_attempt")
