"""Pull requests from forks are built only if the settings allow it, and separately from all branches."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from db.database import Database
from db.models import Build, RefHead, Repository
from db.queries import ref_images
from db.queue import enqueue, transitions
from db.queue.transitions import BuildResult
from db.records import builds as build_reads
from db.records import images, refs, repositories
from db.status import Lease, Status, Trigger
from tests.conftest import NOW
from tests.webhook.conftest import Deliver
from tests.webhook.github.deliveries import MAIN, ONE, THREE, TWO, push, repository

HEAD = "refs/pull/5/head"
FORK, OURS = {"id": 8, "full_name": "stranger/repo"}, {"id": 7, "full_name": "Org/Repo"}


def pull(
    action: str = "opened", sha: str = TWO, *, repo: Any = FORK, minute: int = 0, **changes: Any
) -> dict[str, Any]:
    """Return a pull request into Org/Repo, reduced to the fields that matter."""
    request = {
        "number": 5,
        "head": {"sha": sha, "ref": "main", "repo": repo},
        "updated_at": f"2026-11-24T12:{minute:02}:00Z",
    }
    return {"action": action, "number": 5, "pull_request": request, "repository": repository()} | changes


@pytest.fixture
def deliver(deliver_with: Callable[..., Deliver]) -> Deliver:
    return deliver_with(fork_pull_requests=True)


def builds(database: Database) -> list[tuple[str, str, str, str | None]]:
    with database.read() as session:
        found = session.scalars(select(Build).order_by(Build.id)).all()
    return [(build.ref, build.commit, build.status, build.reason) for build in found]


def test_a_fork_is_not_built_by_default(deliver_with: Callable[..., Deliver], database: Database) -> None:
    answer = deliver_with()("pull_request", pull())
    assert (answer.status_code, answer.json) == (
        200,
        {"outcome": "ignored", "reason": "fork_pull_requests_off"},
    )
    assert builds(database) == []
    with database.read() as session:
        assert session.scalars(select(Repository)).all() == []


@pytest.mark.parametrize("action", ["opened", "reopened", "synchronize"])
def test_an_allowed_pull_request_is_built_for_the_base_repository(
    deliver: Deliver, database: Database, action: str
) -> None:
    answer = deliver("pull_request", pull(action))
    assert answer.status_code == 202 and answer.json is not None
    assert (answer.json["repository"], answer.json["ref"], answer.json["commit"]) == ("Org/Repo", HEAD, TWO)
    assert builds(database) == [(HEAD, TWO, "queued", None)]


@pytest.mark.parametrize("action", ["edited", "labeled", "assigned", "review_requested", "locked"])
def test_actions_that_change_no_commit_build_nothing(
    deliver: Deliver, database: Database, action: str
) -> None:
    assert deliver("pull_request", pull(action)).status_code == 200
    assert builds(database) == []


def test_a_pull_request_from_the_same_repository_is_covered_by_its_push(
    deliver: Deliver, database: Database
) -> None:
    answer = deliver("pull_request", pull(repo=OURS))
    assert answer.json == {"outcome": "ignored", "reason": "covered_by_push"}
    assert builds(database) == []


def test_a_pull_request_of_a_deleted_fork_is_still_from_a_fork(
    deliver_with: Callable[..., Deliver], database: Database
) -> None:
    assert deliver_with()("pull_request", pull(repo=None)).json == {
        "outcome": "ignored",
        "reason": "fork_pull_requests_off",
    }
    assert builds(database) == []


def test_pull_requests_of_a_banned_repository_are_refused(
    deliver_with: Callable[..., Deliver], database: Database
) -> None:
    deliver = deliver_with(fork_pull_requests=True, banned_repositories=("org/*",))
    assert deliver("pull_request", pull()).json == {"outcome": "refused", "reason": "repository_banned"}
    assert builds(database) == []


def test_a_newer_head_cancels_the_queued_build_of_the_older_one(deliver: Deliver, database: Database) -> None:
    deliver("pull_request", pull(sha=ONE))
    deliver("pull_request", pull("synchronize", TWO, minute=1, before=ONE))
    assert builds(database) == [(HEAD, ONE, "cancelled", "superseded"), (HEAD, TWO, "queued", None)]


def test_a_late_older_head_is_not_built(deliver: Deliver, database: Database) -> None:
    deliver("pull_request", pull("synchronize", TWO, minute=1, before=ONE))
    assert deliver("pull_request", pull(sha=ONE)).status_code == 200
    assert builds(database) == [(HEAD, TWO, "queued", None)]


@pytest.mark.parametrize("minute", [0, 1])
def test_closing_a_pull_request_cancels_its_queued_build(
    deliver: Deliver, database: Database, minute: int
) -> None:
    deliver("pull_request", pull())
    answer = deliver("pull_request", pull("closed", minute=minute))
    assert answer.json is not None and answer.json["cancelled"] == 1
    assert builds(database) == [(HEAD, TWO, "cancelled", "ref_deleted")]
    deliver("pull_request", pull("reopened", minute=minute + 1))
    assert builds(database)[1:] == [(HEAD, TWO, "queued", None)]


def test_closing_a_pull_request_keeps_a_build_that_a_branch_needs(
    deliver: Deliver, database: Database
) -> None:
    deliver("pull_request", pull())
    deliver("push", push(TWO))  # a fast-forward merge
    deliver("pull_request", pull("closed", minute=1))
    assert [status for _, _, status, _ in builds(database)] == ["queued"]


def test_a_branch_never_has_the_image_of_a_fork(deliver: Deliver, database: Database) -> None:
    deliver("push", push(ONE))
    deliver("pull_request", pull(sha=TWO))
    with database.write() as session:
        for _ in range(2):
            build = transitions.claim(session, worker="w", now=NOW.replace(year=2030))
            assert build is not None
            transitions.finish(
                session, Lease(build.id, build.attempt), BuildResult(Status.SUCCEEDED), now=NOW
            )
            made: Any = {"recipe": build.recipe, "name": build.commit, "digest": None, "size": 1}
            images.record(session, build=build, now=NOW, **made)
    with database.read() as session:
        main, (repository_id,) = "refs/heads/main", session.scalars(select(Repository.id)).all()
        found = ref_images.newest_of_ref(session, repository_id, main)
        assert found is not None and found.commit == ONE
        assert session.get_one(RefHead, (repository_id, main)).commit == ONE


def test_an_abbreviated_commit_never_stands_for_a_commit_of_a_fork(
    database: Database, repository: Repository
) -> None:
    # Anyone who opens a pull request can create a commit with the same prefix as another.
    ours, theirs = "abcdef1" + "0" * 33, "abcdef1" + "f" * 33
    with database.write() as session:
        for ref, commit in ((MAIN, ours), (HEAD, theirs)):
            request: Any = {"ref": ref, "commit": commit, "recipe": "r", "trigger": Trigger.PUSH}
            enqueue.enqueue_entry(session, repository=repository, now=NOW, **request)
        assert build_reads.commits_with_prefix(session, repository, "abcdef1") == [ours]


@pytest.mark.parametrize(
    "changes",
    [
        {"pull_request": None},
        {"pull_request": {"number": 5, "head": {"sha": "main", "repo": FORK}}},
        {"pull_request": {"number": 0, "head": {"sha": TWO, "repo": FORK}}},
        {"pull_request": {"number": "5/../../heads/main", "head": {"sha": TWO, "repo": FORK}}},
        {"pull_request": {"number": 5, "head": {"sha": TWO, "repo": {"id": "7"}}}},
        {"repository": None},
        {"before": "x"},
    ],
)
def test_a_malformed_pull_request_is_rejected(
    deliver: Deliver, database: Database, changes: dict[str, Any]
) -> None:
    assert deliver("pull_request", pull() | changes).status_code == 400
    assert builds(database) == []


def test_deliveries_of_an_app_record_its_installation(deliver: Deliver, database: Database) -> None:
    def known() -> int | None:
        with database.read() as session:
            found = repositories.find(session, "gh", "org/repo")
            assert found is not None
            return found.installation_id

    deliver("push", push(ONE))
    assert known() is None
    deliver("push", push(TWO, installation={"id": 99}))
    assert known() == 99
    deliver("push", push(THREE))  # from a hook of the repository itself
    assert known() == 99
    deliver("push", push(ONE, installation={"id": 100}))
    assert known() == 100


def test_heads_of_pull_requests_are_recorded_as_refs(deliver: Deliver, database: Database) -> None:
    deliver("pull_request", pull())
    with database.read() as session:
        row = repositories.find(session, "gh", "org/repo")
        assert row is not None
        known = refs.head(session, row, HEAD)
    assert known is not None and known.commit == TWO
    # No push was delivered, so it is unknown whether pushes arrive.
    assert row.webhook_since is None
