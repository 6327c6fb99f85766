"""The lookup as scripts and hubs use it: which image a repository has at a ref."""

from datetime import datetime, timedelta

import pytest
from flask.testing import FlaskClient

from db.models import Image
from db.queue import transitions
from db.queue.transitions import BuildResult
from db.records import refs
from db.status import Reason, Status
from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.conftest import COMMIT, NOW
from tests.webhook.api.conftest import OTHER, Lookup, error_of, json_of
from tests.webhook.records import Clock, Records


def test_an_existing_image_is_found_without_asking_github(
    lookup: Lookup, records: Records, github: GitServer
) -> None:
    name = records.succeed(records.push())
    assert json_of(lookup(), 200) == {
        "image": name,
        "digest": "sha256:1",
        "commit": COMMIT,
        "ref": "refs/heads/main",
        "repository": "Org/Repo",
        "recipe": records.settings.recipe(),
        "built_at": "2026-11-23T12:00:00Z",
        "exact": True,
    }
    assert github.requests == []


@pytest.mark.parametrize(
    ("name", "ref"),
    [
        ("ORG/repo", "main"),
        ("org/repo.git", "main"),
        ("org/repo", "HEAD"),
        ("org/repo", "refs/heads/main"),
        ("org/repo", "refs%2Fheads%2Fmain"),
        ("org%2Frepo", "heads%2fmain"),
        ("org/repo", COMMIT),
        ("org/repo", COMMIT.upper()),
        ("org/repo", COMMIT[:7]),
    ],
)
def test_a_commit_is_found_by_all_its_names(
    lookup: Lookup, records: Records, github: GitServer, name: str, ref: str
) -> None:
    records.succeed(records.push())
    assert json_of(lookup(ref, name), 200)["commit"] == COMMIT
    assert github.requests == []


def test_the_ref_defaults_to_the_default_branch(client: FlaskClient, records: Records) -> None:
    records.succeed(records.push())
    assert json_of(client.get("/api/v1/images/gh/org/repo"), 200)["ref"] == "refs/heads/main"


def test_a_branch_with_slashes_can_be_encoded_or_not(lookup: Lookup, records: Records) -> None:
    records.succeed(records.push(ref="refs/heads/feature/a%b/c"))
    for written in ("feature/a%25b/c", "feature%2Fa%25b%2Fc"):
        assert json_of(lookup(written), 200)["ref"] == "refs/heads/feature/a%b/c"


def test_two_branches_at_one_commit_share_the_image(lookup: Lookup, records: Records) -> None:
    name = records.succeed(records.push())
    with records.database.write() as session:
        repository = records.repository(session)
        refs.record_push(
            session, repository, ref="refs/heads/b", commit=COMMIT, before=None, pushed_at=NOW, now=NOW
        )
    assert json_of(lookup("b"), 200)["image"] == name


def test_a_miss_has_the_state_of_the_build(lookup: Lookup, records: Records) -> None:
    build = records.push()
    queued = json_of(lookup(), 404)
    assert (queued["state"], queued["build"], queued["commit"]) == ("queued", build, COMMIT)
    assert queued["links"]["log"] == f"/api/v1/builds/{build}/log"
    assert queued["fallback"] is None
    lease = records.claim(build)
    assert json_of(lookup(), 404)["state"] == "running"
    with records.database.write() as session:
        result = BuildResult(Status.FAILED, Reason.USER_ERROR, "x", "No package nunpy.")
        transitions.finish(session, lease, result, now=NOW)
    failed = json_of(lookup(), 404)
    assert (failed["state"], failed["message"]) == ("failed", "No package nunpy.")
    assert json_of(lookup(OTHER), 404)["state"] == "none"


def test_a_cancelled_build_and_a_removed_image_are_misses(lookup: Lookup, records: Records) -> None:
    build = records.push()
    with records.database.write() as session:
        transitions.cancel(session, build, by=None, now=NOW)
    assert json_of(lookup(), 404)["state"] == "cancelled"
    records.succeed(records.push(OTHER))
    with records.database.write() as session:
        session.delete(session.query(Image).one())
    gone = json_of(lookup(), 404)
    assert (gone["state"], gone["build"]) == ("none", None)


def test_the_newest_image_of_the_ref_is_the_fallback(lookup: Lookup, records: Records) -> None:
    name = records.succeed(records.push())
    records.fail(records.push(OTHER))
    failed = json_of(lookup(), 404)
    assert (failed["state"], failed["commit"]) == ("failed", OTHER)
    fallback = failed["fallback"]
    assert (fallback["image"], fallback["commit"], fallback["exact"]) == (name, COMMIT, False)


def test_the_same_commit_with_another_recipe_is_the_better_fallback(lookup: Lookup, records: Records) -> None:
    by_another = records.succeed(records.push(recipe="another"))
    records.succeed(records.push(OTHER))
    with records.database.write() as session:  # pushed back
        at = {"pushed_at": NOW + timedelta(hours=1), "now": NOW}
        repository = records.repository(session)
        refs.record_push(session, repository, ref="refs/heads/main", commit=COMMIT, before=OTHER, **at)
    found = json_of(lookup(), 404)
    assert found["fallback"]["image"] == by_another
    assert found["fallback"]["recipe"] == "another"


def test_a_build_with_another_recipe_does_not_count(lookup: Lookup, records: Records) -> None:
    records.fail(records.push(recipe="another"))
    found = json_of(lookup(), 404)
    assert (found["state"], found["build"]) == ("none", None)


def test_unknown_refs_repositories_and_missing_images_differ(
    lookup: Lookup, remote_repository: BareRepository
) -> None:
    assert json_of(lookup("nope"), 404)["state"] == "unknown_ref"
    assert json_of(lookup("main", "org/nope"), 404)["state"] == "unknown_repository"
    assert json_of(lookup("main"), 404) == {
        "state": "none",
        "message": "This commit has no image, and no build was requested.",
        "repository": "org/repo",
        "ref": "refs/heads/main",
        "commit": remote_repository.head(),
        "build": None,
        "fallback": None,
    }


def test_without_github_a_recorded_answer_is_stale(
    lookup: Lookup, records: Records, github: GitServer, clock: Clock
) -> None:
    name = records.succeed(records.push())
    with records.database.write() as session:
        refs.clear_webhook_since(session, records.repository(session))
    clock.now += timedelta(hours=1)
    github.stop()
    stale = json_of(lookup(), 200)
    assert (stale["image"], stale["stale"]) == (name, True)
    response = lookup("other")
    assert error_of(response) == (503, "github_unreachable")
    assert response.headers["Retry-After"]
    github.start()


@pytest.mark.parametrize(
    ("name", "ref", "expected"),
    [
        ("bad/repo", "main", (403, "repository_banned")),
        ("BAD/repo", COMMIT, (403, "repository_banned")),
        ("-o/repo", "main", (422, "bad_repository")),
        ("org/..", "main", (422, "bad_repository")),
        ("org/repo", "-x", (422, "bad_ref")),
        ("org/repo", "a..b", (422, "bad_ref")),
        ("org/repo", "a%00b", (422, "bad_ref")),
        ("org/repo", "a//b", (422, "bad_ref")),
        ("org/repo", "%1b[31m", (422, "bad_ref")),
    ],
)
def test_an_invalid_or_banned_name_is_rejected_without_asking_github(
    lookup: Lookup, github: GitServer, name: str, ref: str, expected: tuple[int, str]
) -> None:
    assert error_of(lookup(ref, name)) == expected
    assert github.requests == []


def test_a_use_is_recorded_once_an_hour_after_the_response(
    lookup: Lookup, records: Records, clock: Clock
) -> None:
    records.succeed(records.push())

    def last_used() -> datetime | None:
        with records.database.read() as session:
            return session.query(Image).one().last_used_at

    response = lookup()
    assert last_used() is None
    response.close()
    assert last_used() == NOW
    clock.now += timedelta(minutes=59)
    lookup().close()
    assert last_used() == NOW
    clock.now += timedelta(minutes=2)
    lookup().close()
    assert last_used() == clock.now


def test_a_lookup_builds_nothing(
    lookup: Lookup, client: FlaskClient, remote_repository: BareRepository
) -> None:
    lookup()
    assert json_of(client.get("/api/v1/builds"), 200)["builds"] == []
