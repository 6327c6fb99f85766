"""The counts behind the metrics, on both databases."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from db.database import Database
from db.queries import metrics
from db.queue import transitions
from db.queue.enqueue import Enqueued
from db.queue.transitions import BuildResult
from db.records import builds
from db.status import Lease, Reason, Status
from tests.conftest import NOW

Enqueue = Callable[..., Enqueued]


def test_an_empty_queue_has_no_oldest_build(database: Database) -> None:
    with database.read() as session:
        assert metrics.queue_load(session) == (0, None, 0)


def test_queued_and_running_builds_are_counted(database: Database, enqueue: Enqueue) -> None:
    for number in range(3):
        enqueue(commit=f"{number:040x}", now=NOW + timedelta(seconds=number))
    with database.write() as session:
        transitions.claim(session, worker="w", now=NOW + timedelta(minutes=1))
    with database.read() as session:
        assert metrics.queue_load(session) == (2, NOW + timedelta(seconds=1), 1)
        assert [build.repository.full_name for build in builds.list_running(session, 5)] == ["Org/Repo"]


@pytest.fixture
def end(database: Database, enqueue: Enqueue) -> Callable[..., int]:
    """End a build after so many seconds, and return its id."""

    def end_build(number: int, seconds: float, status: Status = Status.SUCCEEDED) -> int:
        build = enqueue(commit=f"{number:040x}").build
        assert build is not None
        reason = Reason.USER_ERROR if status is Status.FAILED else None
        with database.write() as session:
            transitions.claim(session, worker="w", now=NOW)
            now = NOW + timedelta(seconds=seconds)
            assert transitions.finish(session, Lease(build.id, 1), BuildResult(status, reason), now=now)
        return build.id

    return end_build


def test_ended_builds_are_counted_by_status_and_duration(
    database: Database, enqueue: Enqueue, end: Callable[..., int]
) -> None:
    first = end(1, 9)
    end(2, 10)
    end(3, 10)
    last = end(4, 500, Status.FAILED)
    never_started = enqueue(commit="a" * 40).build
    queued = enqueue(commit="b" * 40).build
    assert never_started is not None and queued is not None
    with database.write() as session:
        transitions.cancel(session, never_started.id, by="alice", now=NOW)
    succeeded, failed, cancelled = (Status.SUCCEEDED, "gh"), (Status.FAILED, "gh"), (Status.CANCELLED, "gh")
    with database.read() as session:
        every = set(metrics.count_ended(session, after=0, upto=10**6))
        some = set(metrics.count_ended(session, after=first, upto=last - 1))
        named = set(metrics.count_ended_among(session, [first, last, queued.id, 10**6]))
        active = metrics.active_ids(session)
    assert every == {(*succeeded, 9, 1), (*succeeded, 10, 2), (*failed, 500, 1), (*cancelled, None, 1)}
    assert some == {(*succeeded, 10, 2)}
    assert named == {(*succeeded, 9, 1), (*failed, 500, 1)}
    assert active == {queued.id}
