"""The badge: what it says of each standing, to whom, and that no name makes it fail."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import event, update
from werkzeug.test import TestResponse

from db.database import Database
from db.models import Build, Repository
from db.queue import enqueue, transitions
from db.queue.transitions import BuildResult
from db.records import images, refs, repositories
from db.status import Lease, Reason, Status, Trigger
from tests.conftest import COMMIT, NOW, RECIPE, database_url
from webhook.app import create_app
from webhook.settings import WebSettings

__all__ = ["database_url"]  # on both databases

SVG = "{http://www.w3.org/2000/svg}"
MAIN = "refs/heads/main"


@pytest.fixture
def app(settings: WebSettings, database: Database) -> Flask:
    return create_app(settings, database)


class Records:
    """Writes what deliveries and builders would have written of Org/Repo."""

    def __init__(self, database: Database, recipe: str) -> None:
        self.database, self.recipe = database, recipe

    def push(self, ref: str = MAIN, commit: str = COMMIT, *, recipe: str | None = None, **told: Any) -> int:
        with self.database.write() as session:
            known: Any = {"full_name": "Org/Repo", "default_branch": "main", "private": False, **told}
            repository = repositories.record(session, now=NOW, **known)
            at: Any = {"pushed_at": NOW, "now": NOW}
            refs.record_push(session, repository, ref=ref, commit=commit, before=None, **at)
            what: dict[str, Any] = {"ref": ref, "commit": commit, "recipe": recipe or self.recipe}
            placed = enqueue.enqueue_entry(
                session, repository=repository, trigger=Trigger.PUSH, force=True, now=NOW, **what
            )
            assert placed.build is not None
            return placed.build.id

    def end(self, status: Status, reason: Reason | None = None) -> None:
        """Take the next build and end it."""
        with self.database.write() as session:
            build = transitions.claim(session, worker="w", now=NOW)
            assert build is not None
            transitions.finish(session, Lease(build.id, build.attempt), BuildResult(status, reason), now=NOW)
            if status is Status.SUCCEEDED:
                made = {"name": "image", "digest": None, "size": 1}
                images.record(session, build=build, recipe=build.recipe, now=NOW, **made)


@pytest.fixture
def records(database: Database, settings: WebSettings) -> Records:
    return Records(database, settings.recipe())


def says(answer: TestResponse) -> str:
    """What a picture says, and that it says it to everybody."""
    assert (answer.status_code, answer.mimetype) == (200, "image/svg+xml")
    root = ET.fromstring(answer.data)
    title, texts = root.find(f"{SVG}title"), [text.text for text in root.iter(f"{SVG}text")]
    assert title is not None and title.text == root.get("aria-label") == f"repo2hub image: {texts[1]}"
    return str(texts[1])


def test_a_badge_follows_the_builds_of_the_commit(client: FlaskClient, records: Records) -> None:
    badge = "/badge/gh/org/repo/main.svg"
    assert says(client.get(badge)) == "none"
    records.push()
    assert says(client.get(badge)) == "building"
    records.end(Status.FAILED, Reason.USER_ERROR)
    assert says(client.get(badge)) == "failed"
    records.push()
    assert says(client.get(badge)) == "building"
    records.end(Status.SUCCEEDED)
    assert says(client.get(badge)) == "ready"
    records.push()  # built again though there is an image, which is in use until then
    assert says(client.get(badge)) == "ready"


def test_a_cancelled_build_does_not_count_for_a_badge(
    client: FlaskClient, records: Records, database: Database
) -> None:
    build_id = records.push()
    with database.write() as session:
        transitions.claim(session, worker="w", now=NOW)
    assert says(client.get("/badge/gh/org/repo.svg")) == "building"
    with database.write() as session:
        transitions.cancel(session, build_id, by=None, now=NOW)
        transitions.release(session, Lease(build_id, 1), now=NOW)
    assert says(client.get("/badge/gh/org/repo.svg")) == "none"


def test_an_image_of_another_recipe_does_not_count_for_a_badge(client: FlaskClient, records: Records) -> None:
    records.push(recipe=RECIPE)
    records.end(Status.SUCCEEDED)
    assert says(client.get("/badge/gh/org/repo.svg")) == "none"


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        (MAIN, "Org/Repo"),
        (MAIN, "org/repo/HEAD"),
        (MAIN, "ORG/repo/main"),
        (MAIN, "org/repo/refs/heads/main"),
        (MAIN, f"org/repo/{COMMIT}"),
        ("refs/heads/feature/a/b", "org/repo/feature/a/b"),
        ("refs/heads/drawing.svg", "org/repo/drawing.svg"),
        ("refs/tags/v1.0", "org/repo/v1.0"),
        ("refs/pull/7/head", "org/repo/pull/7/head"),
    ],
)
def test_a_badge_reads_refs_as_lookups_do(client: FlaskClient, records: Records, ref: str, path: str) -> None:
    records.push(ref)
    records.end(Status.SUCCEEDED)
    assert says(client.get(f"/badge/gh/{path}.svg")) == "ready"
    assert says(client.get("/badge/gh/org/repo/other.svg")) == "none"


def test_a_badge_finds_a_tag_after_its_branch_was_deleted(client: FlaskClient, records: Records) -> None:
    records.push("refs/heads/v1")
    records.end(Status.SUCCEEDED)
    records.push("refs/tags/v1", "f" * 40)
    with records.database.write() as session:
        repository = repositories.find(session, "gh", "org/repo")
        assert repository is not None
        refs.record_push(
            session, repository, ref="refs/heads/v1", commit=None, before=COMMIT, pushed_at=NOW, now=NOW
        )
    assert says(client.get("/badge/gh/org/repo/v1.svg")) == "building"


def test_a_pull_request_from_a_fork_does_not_change_the_branches_badge(
    client: FlaskClient, records: Records
) -> None:
    records.push()
    records.end(Status.FAILED, Reason.USER_ERROR)
    records.push("refs/pull/1/head", "f" * 40)
    records.end(Status.SUCCEEDED)
    assert says(client.get("/badge/gh/org/repo.svg")) == "failed"


def test_a_private_repository_looks_like_one_that_does_not_exist(
    settings: WebSettings, database: Database, records: Records
) -> None:
    from pydantic import SecretStr

    changes = {"auth": "token", "api_tokens": (SecretStr("token-1"),)}
    client = create_app(settings.model_copy(update=changes), database).test_client()
    records.push(private=True)
    records.end(Status.SUCCEEDED)
    private, unknown = client.get("/badge/gh/org/repo.svg"), client.get("/badge/gh/org/nothing.svg")
    assert says(private) == "none"
    assert (private.data, dict(private.headers)) == (unknown.data, dict(unknown.headers))
    seen = client.get("/badge/gh/org/repo.svg", headers={"Authorization": "Bearer token-1"})
    assert says(seen) == "ready"
    # No cache between here and there may give it to others.
    assert seen.headers["Cache-Control"] == "private, no-cache"
    assert seen.headers["Vary"] == "Authorization, Cookie"
    with database.write() as session:
        session.execute(update(Repository).values(private=False))
    assert says(client.get("/badge/gh/org/repo.svg")) == "ready"


def test_an_unchanged_badge_is_a_304(client: FlaskClient, records: Records) -> None:
    records.push()
    first = client.get("/badge/gh/org/repo.svg")
    assert first.headers["Cache-Control"] == "public, max-age=30"
    seen = {"If-None-Match": first.headers["ETag"]}
    again = client.get("/badge/gh/org/repo.svg", headers=seen)
    assert (again.status_code, again.data) == (304, b"")
    records.end(Status.SUCCEEDED)
    changed = client.get("/badge/gh/org/repo.svg", headers=seen)
    assert says(changed) == "ready" and changed.headers["ETag"] != first.headers["ETag"]


def test_a_badge_takes_one_statement_and_no_request(
    client: FlaskClient, records: Records, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.push()
    # PATH leads to no git: whoever asks GitHub would fail.
    monkeypatch.setenv("PATH", "/nonexistent")
    through_sqlalchemy: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *told: through_sqlalchemy.append(told[2]))
    assert says(client.get("/badge/gh/org/repo/main.svg")) == "building"
    assert says(client.get("/badge/gh/nobody/knows/it.svg")) == "none"
    assert through_sqlalchemy == []  # the one statement goes to the driver


def test_a_badge_contains_no_scripts_and_loads_nothing(client: FlaskClient) -> None:
    answer = client.get("/badge/gh/org/repo.svg")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for forbidden in (b"style=", b"<style", b"href", b"<script", b"http://", b"@import"):
        assert forbidden not in answer.data.replace(b"http://www.w3.org/2000/svg", b"")


@pytest.mark.parametrize(
    "path",
    [
        "org/repo/..",
        "org/repo//main",
        "org/repo/-x",
        "org/%2e%2e/x",
        "<script>/repo",
        "org/repo/'; DROP TABLE build; --",
        "org/repo/%00",
        "org/repo/%ff%fe",
        "org",
        "a/b/" + "x" * 5000,
        "org/repo/main\r\nX-Evil: 1",
    ],
)
def test_a_hostile_name_gets_the_badge_of_an_unknown_repository(client: FlaskClient, path: str) -> None:
    answer = client.get(f"/badge/gh/{path}.svg")
    assert says(answer) == "none" and "X-Evil" not in answer.headers


def test_any_badge_path_is_answered(client: FlaskClient) -> None:
    @hypothesis_settings(
        max_examples=150, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.text(st.characters(codec="utf-8"), max_size=60))
    def check(path: str) -> None:
        assert client.get("/badge/gh/" + path + ".svg").status_code in (200, 308, 404)

    check()


def test_badges_are_under_the_base_path(settings: WebSettings, database: Database) -> None:
    changed = settings.model_copy(update={"base_url": "/services/binder/"})
    client = create_app(changed, database).test_client()
    assert says(client.get("/services/binder/badge/gh/org/repo.svg")) == "none"


def test_a_badge_shows_the_newest_of_many_builds(
    client: FlaskClient, records: Records, database: Database
) -> None:
    for _ in range(3):
        records.push()
        records.end(Status.FAILED, Reason.TIME_LIMIT)
    with database.read() as session:
        assert session.query(Build).count() == 3
    assert says(client.get("/badge/gh/org/repo.svg")) == "failed"
