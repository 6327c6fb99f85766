"""Reads of builds: lists, filters, and the place in the queue."""

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
from db.status import HeartbeatResult, Lease, Status, Trigger
from tests.conftest import NOW, RECIPE


@pytest.fixture
def ids(enqueue: Callable[..., Enqueued]) -> list[int]:
    """Five queued builds, the oldest first."""
    made = [enqueue(commit=letter * 40).build for letter in "abcde"]
    return [build.id for build in made if build]


ANY = BuildFilter()


def listed(database: Database, wanted: BuildFilter = ANY, **which: int) -> list[int]:
    with database.read() as session:
        return [build.id for build in history.page_with_active(session, UNRESTRICTED, wanted, **which)]


def test_builds_are_listed_newest_first_a_page_at_a_time(database: Database, ids: list[int]) -> None:
    with database.write() as session:
        for letter in "ab":
            assert transitions.claim(session, worker="w", now=NOW) is not None, letter
        assert transitions.finish(session, Lease(ids[1], 1), BuildResult(Status.SUCCEEDED), now=NOW)
    page_with_active = ids[::-1]
    assert listed(database) == page_with_active
    pages = [listed(database, limit=2)]
    while pages[-1]:
        pages.append(listed(database, limit=2, below=pages[-1][-1]))
    assert pages == [page_with_active[:2], page_with_active[2:4], page_with_active[4:], []]


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
def test_a_number_that_no_build_has_is_no_build(database: Database, ids: list[int], number: int) -> None:
    with database.read() as session:
        assert builds.get(session, number) is None
    assert listed(database, below=number) == (ids[::-1] if number > 0 else [])


@pytest.mark.parametrize("ref", ["refs/heads/\0", "refs/heads/\ud800"])
def test_text_that_no_ref_can_be_finds_nothing(
    database: Database, repository: Repository, ids: list[int], ref: str
) -> None:
    assert listed(database, BuildFilter(repository.id, (ref,))) == []


def test_a_build_comes_with_its_repository(database: Database, ids: list[int]) -> None:
    with database.read() as session:
        build = builds.get(session, ids[0])
        newest = history.page_with_active(session, UNRESTRICTED, ANY)[0]
    assert build is not None and build.repository.full_name == "Org/Repo"
    assert newest.repository.full_name == "Org/Repo"


def position(database: Database, build_id: int) -> int | None:
    with database.read() as session:
        return builds.queue_position(session, session.get_one(Build, build_id))


def test_the_place_in_the_queue_is_that_of_the_claims(
    database: Database, ids: list[int], enqueue: Callable[..., Enqueued]
) -> None:
    enqueue(commit="c" * 40, trigger=Trigger.LAUNCH)
    places = {position(database, build_id): build_id for build_id in ids}
    claimed = []
    for _ in ids:
        with database.write() as session:
            build = transitions.claim(session, worker="w", now=NOW)
        assert build is not None
        claimed.append(build.id)
    assert [places[place] for place in (1, 2, 3, 4, 5)] == claimed
    assert position(database, ids[0]) is None


def test_what_is_active_is_listed_in_the_order_of_its_doing(
    database: Database, ids: list[int], enqueue: Callable[..., Enqueued]
) -> None:
    with database.write() as session:
        transitions.claim(session, worker="w", now=NOW)
        transitions.cancel(session, ids[1], by=None, now=NOW)
    enqueue(commit="e" * 40, trigger=Trigger.LAUNCH)
    with database.read() as session:
        active = [build.id for build in builds.active(session)]
    assert active == [ids[0], ids[4], ids[2], ids[3]]


def test_the_newest_build_of_a_commit_is_found_whatever_became_of_it(
    database: Database, repository: Repository, queued_build: Build, enqueue: Callable[..., Enqueued]
) -> None:
    with database.write() as session:
        transitions.cancel(session, queued_build.id, by=None, now=NOW)
    again = enqueue(now=NOW + timedelta(seconds=1)).build
    with database.read() as session:
        found = builds.newest_of_commit(session, repository.id, queued_build.commit)
        assert found is not None and again is not None and found.id == again.id
        assert builds.newest_of_commit(session, repository.id, "0" * 40) is None


def test_a_short_commit_is_completed_unless_two_begin_with_it(
    database: Database, repository: Repository, enqueue: Callable[..., Enqueued]
) -> None:
    one, two = "abc1" + "0" * 36, "abc2" + "0" * 36
    for commit in (one, two):
        enqueue(commit=commit)
    with database.read() as session:
        assert builds.commits_with_prefix(session, repository, "abc1") == [one]
        assert sorted(builds.commits_with_prefix(session, repository, "abc")) == [one, two]
        assert builds.commits_with_prefix(session, repository, "ab%1") == []
        assert builds.commits_with_prefix(session, repository, "____") == []


def test_a_cancel_request_can_be_seen_without_a_heartbeat(database: Database, lease: Lease) -> None:
    with database.read() as session:
        assert builds.cancel_requested(session, lease.build_id) is HeartbeatResult.CONTINUE
    with database.write() as session:
        transitions.cancel(session, lease.build_id, by=None, now=NOW)
    with database.read() as session:
        assert builds.cancel_requested(session, lease.build_id) is HeartbeatResult.CANCEL
