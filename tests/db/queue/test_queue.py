"""Each transition of a build, on both databases, and what it refuses to do."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from db.database import Database
from db.models import Build, Repository
from db.queue import supersede, transitions
from db.queue.enqueue import Enqueued
from db.queue.transitions import BuildResult
from db.records import builds, images, refs, repositories
from db.status import (
    CancelResult,
    EnqueueOutcome,
    HeartbeatResult,
    Lease,
    Phase,
    Priority,
    Reason,
    Status,
    Trigger,
)
from tests.conftest import COMMIT, NOW, RECIPE

SUCCEEDED = BuildResult(Status.SUCCEEDED)
LATER = NOW + timedelta(minutes=5)
OTHER = "f" * 40


def reload(database: Database, build_id: int) -> Build:
    with database.read() as session:
        build = builds.get(session, build_id)
    assert build is not None
    return build


def test_a_wish_becomes_a_queued_build(queued_build: Build) -> None:
    assert queued_build.status is Status.QUEUED
    assert (queued_build.attempt, queued_build.priority) == (0, Priority.PUSH)


def test_a_second_wish_joins_and_a_launcher_raises_the_priority(
    enqueue: Callable[..., Enqueued], queued_build: Build, database: Database
) -> None:
    joined = enqueue(trigger=Trigger.LAUNCH)
    assert joined.outcome is EnqueueOutcome.JOINED
    assert joined.build is not None and joined.build.id == queued_build.id
    assert reload(database, queued_build.id).priority == Priority.INTERACTIVE


def test_an_image_that_exists_means_no_build(
    enqueue: Callable[..., Enqueued], running_build: Build, lease: Lease, database: Database
) -> None:
    with database.write() as session:
        images.record(session, build=running_build, recipe=RECIPE, name="i:t", digest=None, size=1, now=NOW)
        assert transitions.finish(session, lease, SUCCEEDED, now=NOW)
    again = enqueue()
    assert again.outcome is EnqueueOutcome.EXISTS
    assert again.image is not None and again.image.name == "i:t"
    forced = enqueue(force=True)
    assert forced.outcome is EnqueueOutcome.QUEUED


def test_the_database_refuses_a_second_active_build(
    queued_build: Build, database: Database, repository: Repository
) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(
            Build(
                repository_id=repository.id,
                ref="",
                commit=COMMIT,
                recipe=RECIPE,
                trigger=Trigger.MANUAL,
                priority=10,
                status=Status.QUEUED,
                run_after=NOW,
                created_at=NOW,
            )
        )


@pytest.mark.parametrize(
    "values",
    [
        {"status": "succeeded"},
        {"finished_at": NOW},
        {"lease_expires_at": NOW},
        {"status": "running", "worker": "w"},
        {"status": "failed", "finished_at": NOW},
        {"reason": "user_error"},
        {"attempt": 4},
        {"attempt": -1},
        {"reason": "bored", "status": "failed", "finished_at": NOW},
        {"phase": "sleeping"},
        {"trigger": "nobody"},
    ],
)
def test_the_database_refuses_a_build_that_contradicts_itself(
    queued_build: Build, database: Database, values: dict[str, object]
) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.execute(update(Build).where(Build.id == queued_build.id).values(**values))


def test_a_claim_takes_the_most_urgent_then_the_oldest_build_that_is_due(
    enqueue: Callable[..., Enqueued], database: Database
) -> None:
    old = enqueue(commit="a" * 40).build
    enqueue(commit="b" * 40)
    urgent = enqueue(commit="c" * 40, trigger=Trigger.LAUNCH).build
    enqueue(commit="d" * 40, trigger=Trigger.LAUNCH, now=LATER)
    with database.write() as session:
        first = transitions.claim(session, worker="w", now=NOW)
        second = transitions.claim(session, worker="w", now=NOW)
    assert [first and first.id, second and second.id] == [urgent and urgent.id, old and old.id]


def test_a_claim_gives_a_lease_and_counts_the_attempt(running_build: Build) -> None:
    assert running_build.status is Status.RUNNING
    assert (running_build.attempt, running_build.worker) == (1, "worker-1")
    assert running_build.lease_expires_at == NOW + transitions.LEASE_LENGTH
    assert running_build.started_at == NOW


def test_an_empty_queue_gives_nothing(database: Database, running_build: Build) -> None:
    with database.write() as session:
        assert transitions.claim(session, worker="w", now=LATER) is None


def test_a_heartbeat_extends_the_lease_and_brings_a_cancel_request(database: Database, lease: Lease) -> None:
    with database.write() as session:
        assert (
            transitions.heartbeat(session, lease, now=NOW + timedelta(seconds=20)) is HeartbeatResult.CONTINUE
        )
    assert reload(database, lease.build_id).lease_expires_at == NOW + timedelta(seconds=80)
    with database.write() as session:
        assert transitions.cancel(session, lease.build_id, by="alice", now=NOW) is CancelResult.REQUESTED
        assert transitions.heartbeat(session, lease, now=NOW) is HeartbeatResult.CANCEL


def test_a_worker_that_lost_its_lease_can_change_nothing(database: Database, lease: Lease) -> None:
    with database.write() as session:
        assert transitions.reap(session, now=LATER) == [(lease.build_id, Status.QUEUED)]
        assert transitions.claim(session, worker="worker-2", now=LATER) is not None
    with database.write() as session:
        assert transitions.heartbeat(session, lease, now=LATER) is HeartbeatResult.LOST
        assert not transitions.enter_phase(session, lease, Phase.PUSHING, now=LATER)
        assert not transitions.record_checkout(session, lease, fingerprint="x", title="t", author="a")
        assert not transitions.finish(session, lease, SUCCEEDED, now=LATER)
        assert transitions.retry(session, lease, cause="x", message="x", now=LATER) is None
        assert not transitions.release(session, lease, now=LATER)
    after = reload(database, lease.build_id)
    assert (after.status, after.worker, after.attempt) == (Status.RUNNING, "worker-2", 2)


def test_a_finished_build_says_how_it_ended(database: Database, lease: Lease) -> None:
    result = BuildResult(Status.FAILED, Reason.USER_ERROR, "package_not_found", "No such package: nope")
    with database.write() as session:
        assert transitions.finish(session, lease, result, now=LATER)
    build = reload(database, lease.build_id)
    assert (build.status, build.reason, build.cause) == (
        Status.FAILED,
        Reason.USER_ERROR,
        "package_not_found",
    )
    assert (build.message, build.finished_at) == ("No such package: nope", LATER)
    assert build.lease_expires_at is None


def test_success_wins_over_a_late_cancel_request(database: Database, lease: Lease) -> None:
    with database.write() as session:
        transitions.cancel(session, lease.build_id, by=None, now=NOW)
        assert transitions.finish(session, lease, SUCCEEDED, now=NOW)
    assert reload(database, lease.build_id).status is Status.SUCCEEDED


def test_infrastructure_errors_are_retried_later_and_fail_with_the_last_attempt(
    database: Database, lease: Lease
) -> None:
    now = NOW
    for attempt in (1, 2, 3):
        with database.write() as session:
            status = transitions.retry(
                session, Lease(lease.build_id, attempt), cause="engine", message="down", now=now
            )
        build = reload(database, lease.build_id)
        if attempt < 3:
            assert status is Status.QUEUED and build.run_after > now
            now = build.run_after
            with database.write() as session:
                assert transitions.claim(session, worker="w", now=now - timedelta(seconds=1)) is None
                assert transitions.claim(session, worker="w", now=now) is not None
    assert (status, build.reason, build.message) == (Status.FAILED, Reason.INFRASTRUCTURE, "down")


def test_a_retry_of_a_build_that_was_to_be_cancelled_cancels_it(database: Database, lease: Lease) -> None:
    with database.write() as session:
        transitions.cancel(session, lease.build_id, by="bob", now=NOW)
        assert transitions.retry(session, lease, cause="x", message="x", now=NOW) is Status.CANCELLED


def test_a_release_uses_no_attempt_up_and_may_be_claimed_at_once(database: Database, lease: Lease) -> None:
    for attempt in range(1, 6):
        with database.write() as session:
            assert transitions.release(session, Lease(lease.build_id, attempt), now=NOW)
            again = transitions.claim(session, worker="w", now=NOW)
        assert again is not None and again.max_attempts - again.attempt == 2


def test_a_dead_worker_costs_an_attempt_and_the_last_one_fails_the_build(
    database: Database, lease: Lease
) -> None:
    now = NOW
    for _ in (1, 2):
        now += timedelta(hours=1)
        with database.write() as session:
            assert transitions.reap(session, now=now) == [(lease.build_id, Status.QUEUED)]
            assert transitions.reap(session, now=now) == []
            assert transitions.claim(session, worker="w", now=now) is not None
    now += timedelta(hours=1)
    with database.write() as session:
        assert transitions.reap(session, now=now) == [(lease.build_id, Status.FAILED)]
    assert reload(database, lease.build_id).reason is Reason.LOST


def test_reaping_leaves_a_living_worker_alone(database: Database, lease: Lease) -> None:
    with database.write() as session:
        assert transitions.reap(session, now=NOW + transitions.LEASE_LENGTH) == []


def test_a_wish_for_a_build_that_is_being_cancelled_takes_that_back(
    database: Database, enqueue: Callable[..., Enqueued], lease: Lease
) -> None:
    with database.write() as session:
        transitions.cancel(session, lease.build_id, by="bob", now=NOW)
    joined = enqueue(ref="refs/heads/other")
    assert joined.outcome is EnqueueOutcome.JOINED and joined.build is not None
    assert (joined.build.cancel_requested_at, joined.build.cancelled_by) == (None, None)
    with database.write() as session:
        assert transitions.heartbeat(session, lease, now=NOW) is HeartbeatResult.CONTINUE
        # But it has stopped already.
        assert transitions.release(session, lease, now=NOW)
        again = transitions.claim(session, worker="w", now=NOW)
    assert again is not None and again.id == lease.build_id


def test_a_release_of_a_build_that_was_to_be_cancelled_cancels_it(database: Database, lease: Lease) -> None:
    with database.write() as session:
        transitions.cancel(session, lease.build_id, by="bob", now=NOW)
        assert transitions.release(session, lease, now=NOW)
    build = reload(database, lease.build_id)
    assert (build.status, build.reason, build.cancelled_by) == (Status.CANCELLED, Reason.REQUESTED, "bob")


def test_reaping_a_build_that_was_to_be_cancelled_cancels_it(database: Database, lease: Lease) -> None:
    with database.write() as session:
        transitions.cancel(session, lease.build_id, by=None, now=NOW)
        assert transitions.reap(session, now=LATER) == [(lease.build_id, Status.CANCELLED)]


def test_a_queued_build_is_cancelled_at_once_and_a_final_one_not_at_all(
    database: Database, queued_build: Build
) -> None:
    with database.write() as session:
        assert transitions.cancel(session, queued_build.id, by="alice", now=NOW) is CancelResult.DONE
        assert transitions.cancel(session, queued_build.id, by="alice", now=NOW) is CancelResult.TOO_LATE
    build = reload(database, queued_build.id)
    assert (build.status, build.reason, build.cancelled_by) == (
        Status.CANCELLED,
        Reason.REQUESTED,
        "alice",
    )


def push(database: Database, repository: Repository, ref: str, commit: str, at: int) -> None:
    with database.write() as session:
        refs.record_push(
            session,
            repository,
            ref=ref,
            commit=commit,
            before=None,
            pushed_at=NOW + timedelta(seconds=at),
            now=NOW,
        )


@pytest.mark.parametrize("cancel", [True, False])
def test_a_newer_push_goes_before_the_older_ones_of_its_ref(
    database: Database, repository: Repository, enqueue: Callable[..., Enqueued], cancel: bool
) -> None:
    old = enqueue(commit="a" * 40, pushed_at=NOW).build
    waited_for = enqueue(commit="b" * 40, pushed_at=NOW, trigger=Trigger.LAUNCH).build
    elsewhere = enqueue(commit="c" * 40, pushed_at=NOW).build
    other_ref = enqueue(commit="d" * 40, pushed_at=NOW, ref="refs/heads/dev").build
    future = enqueue(commit="e" * 40, pushed_at=LATER).build
    newer = enqueue(commit=OTHER, pushed_at=NOW + timedelta(seconds=1)).build
    assert old and waited_for and elsewhere and other_ref and future and newer
    push(database, repository, "refs/heads/release", "c" * 40, 0)
    with database.write() as session:
        assert supersede.supersede(session, newer, cancel=cancel, now=NOW) == 1
    was = reload(database, old.id)
    if cancel:
        assert (was.status, was.reason, was.superseded_by) == (
            Status.CANCELLED,
            Reason.SUPERSEDED,
            newer.id,
        )
    else:
        assert (was.status, was.priority) == (Status.QUEUED, Priority.OVERTAKEN)
    for untouched in (waited_for, elsewhere, other_ref, future):
        same = reload(database, untouched.id)
        assert (same.status, same.priority) == (Status.QUEUED, untouched.priority)


def test_a_running_build_is_never_superseded(
    database: Database, enqueue: Callable[..., Enqueued], running_build: Build
) -> None:
    newer = enqueue(commit=OTHER, pushed_at=LATER).build
    assert newer
    with database.write() as session:
        assert supersede.supersede(session, newer, cancel=True, now=LATER) == 0


def test_deleting_a_ref_or_a_repository_cancels_what_waits(
    database: Database, repository: Repository, enqueue: Callable[..., Enqueued]
) -> None:
    doomed = enqueue(commit="a" * 40).build
    kept = enqueue(commit="b" * 40, trigger=Trigger.LAUNCH).build
    assert doomed and kept
    with database.write() as session:
        assert supersede.cancel_ref(session, repository, "refs/heads/main", now=NOW) == 1
    assert reload(database, doomed.id).reason is Reason.REF_DELETED
    assert reload(database, kept.id).status is Status.QUEUED
    with database.write() as session:
        repositories.disable(session, repository)
        assert supersede.cancel_repository(session, repository, now=NOW) == 1
    assert reload(database, kept.id).reason is Reason.REPOSITORY_GONE
