"""Reads of builds: lists, filters, and the position in the queue."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from db.database import Database
from db.models import Build, Repository
from db.queries import history
from db.queries.history import BuildFilter
from db.queries.visibility import UNRESTRICTED
from db.queue import transitions
from db.queue.enqueue import Enqueued
from db.queue.enqueue import enqueue as enqueue_build
from db.queue.transitions import BuildResult
from db.records import builds, repositories
from db.status import HeartbeatResult, Lease, Reason, Status, Trigger
from tests.conftest import NOW, RECIPE


@pytest.fixture
def ids(enqueue: Callable[..., Enqueued]) -> list[int]:
    """The ids of five queued builds, the oldest first."""
    builds = [enqueue(commit=letter * 40).build for letter in "abcde"]
    return [build.id for build in builds if build]


UNFILTERED = BuildFilter()


def listed(database: Database, filters: BuildFilter = UNFILTERED, **page: int) -> list[int]:
    with database.read() as session:
        return [build.id for build in history.page_with_active(session, UNRESTRICTED, filters, **page)]


def test_builds_are_listed_newest_first_in_pages(database: Database, ids: list[int]) -> None:
    with database.write() as session:
        for letter in "ab":
            assert transitions.claim(session, worker="w", now=NOW) is not None, letter
        assert transitions.finish(session, Lease(ids[1], 1), BuildResult(Status.SUCCEEDED), now=NOW)
    newest_first = ids[::-1]
    assert listed(database) == newest_first
    pages = [listed(database, limit=2)]
    while pages[-1]:
        pages.append(listed(database, limit=2, below=pages[-1][-1]))
    assert pages == [newest_first[:2], newest_first[2:4], newest_first[4:], []]


def test_builds_are_filtered_by_repository_ref_and_status(
    database: Database, repository: Repository, ids: list[int], enqueue: Callable[..., Enqueued]
) -> None:
    dev = enqueue(commit="f" * 40, ref="refs/heads/dev").build
    with database.write() as session:
        running = transitions.claim(session, worker="w", now=NOW)
        other = repositories.record(session, full_name="o/other", provider_id=2, now=NOW)
        elsewhere = enqueue_build(
            session,
            repository=other,
            ref="refs/heads/dev",
            commit="a" * 40,
            recipe=RECIPE,
            trigger=Trigger.PUSH,
            now=NOW,
        ).build
    assert dev and running and elsewhere
    assert listed(database, BuildFilter(other.id)) == [elsewhere.id]
    assert listed(database, BuildFilter(repository.id, ("refs/heads/dev",))) == [dev.id]
    assert listed(database, BuildFilter(status=Status.RUNNING)) == [running.id]
    assert listed(database, BuildFilter(status=Status.FAILED)) == []


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, 2**63, 10**30, -(10**30)])
def test_an_unknown_build_id_finds_nothing(database: Database, ids: list[int], number: int) -> None:
    with database.read() as session:
        assert builds.get(session, number) is None
    assert listed(database, below=number) == (ids[::-1] if number > 0 else [])


@pytest.mark.parametrize("ref", ["refs/heads/\0", "refs/heads/\ud800"])
def test_an_impossible_ref_finds_nothing(
    database: Database, repository: Repository, ids: list[int], ref: str
) -> None:
    assert listed(database, BuildFilter(repository.id, (ref,))) == []


def test_builds_are_loaded_with_their_repositories(database: Database, ids: list[int]) -> None:
    with database.read() as session:
        build = builds.get(session, ids[0])
        newest = history.page_with_active(session, UNRESTRICTED, UNFILTERED)[0]
    assert build is not None and build.repository.full_name == "Org/Repo"
    assert newest.repository.full_name == "Org/Repo"


def position(database: Database, build_id: int) -> int | None:
    with database.read() as session:
        return builds.queue_position(session, session.get_one(Build, build_id))


def test_the_queue_position_matches_the_order_of_claims(
    database: Database, ids: list[int], enqueue: Callable[..., Enqueued]
) -> None:
    enqueue(commit="c" * 40, trigger=Trigger.LAUNCH)
    by_position = {position(database, build_id): build_id for build_id in ids}
    claimed = []
    for _ in ids:
        with database.write() as session:
            build = transitions.claim(session, worker="w", now=NOW)
        assert build is not None
        claimed.append(build.id)
    assert [by_position[number] for number in (1, 2, 3, 4, 5)] == claimed
    assert position(database, ids[0]) is None


def test_active_builds_are_listed_in_the_order_of_the_queue(
    database: Database, ids: list[int], enqueue: Callable[..., Enqueued]
) -> None:
    with database.write() as session:
        transitions.claim(session, worker="w", now=NOW)
        transitions.cancel(session, ids[1], by=None, now=NOW)
    enqueue(commit="e" * 40, trigger=Trigger.LAUNCH)
    with database.read() as session:
        found, total = history.active_builds(session, UNRESTRICTED, BuildFilter())
    assert [active.build.id for active in found] == [ids[0], ids[4], ids[2], ids[3]]
    assert total == 4


def test_the_newest_build_of_a_commit_is_found_whatever_its_status(
    database: Database, repository: Repository, queued_build: Build, enqueue: Callable[..., Enqueued]
) -> None:
    with database.write() as session:
        transitions.cancel(session, queued_build.id, by=None, now=NOW)
    again = enqueue(now=NOW + timedelta(seconds=1)).build
    with database.read() as session:
        found = builds.newest_of_commit(session, repository.id, queued_build.commit)
        assert found is not None and again is not None and found.id == again.id
        assert builds.newest_of_commit(session, repository.id, "0" * 40) is None


def test_a_commit_prefix_finds_up_to_two_commits(
    database: Database, repository: Repository, enqueue: Callable[..., Enqueued]
) -> None:
    first, second = "abc1" + "0" * 36, "abc2" + "0" * 36
    for commit in (first, second):
        enqueue(commit=commit)
    with database.read() as session:
        assert builds.commits_with_prefix(session, repository, "abc1") == [first]
        assert sorted(builds.commits_with_prefix(session, repository, "abc")) == [first, second]
        assert builds.commits_with_prefix(session, repository, "ab%1") == []
        assert builds.commits_with_prefix(session, repository, "____") == []


def test_a_cancel_request_can_be_read_without_a_heartbeat(database: Database, lease: Lease) -> None:
    with database.read() as session:
        assert builds.cancel_requested(session, lease.build_id) is HeartbeatResult.CONTINUE
    with database.write() as session:
        transitions.cancel(session, lease.build_id, by=None, now=NOW)
    with database.read() as session:
        assert builds.cancel_requested(session, lease.build_id) is HeartbeatResult.CANCEL


def test_failures_are_counted_since_the_last_success(
    database: Database, enqueue: Callable[..., Enqueued]
) -> None:
    failed = BuildResult(Status.FAILED, Reason.USER_ERROR)
    counts = []
    for result in (failed, failed, BuildResult(Status.SUCCEEDED), failed):
        build = enqueue().build
        assert build is not None
        with database.write() as session:
            transitions.claim(session, worker="w", now=NOW)
            transitions.finish(session, Lease(build.id, 1), result, now=NOW)
            counts.append(builds.count_failures(session, build))
    assert counts == [1, 2, 0, 1]
