"""The transitions of a build on both databases, and what they reject."""

from collections.abc import Callable
from datetime import timedelta

from db.database import Database
from db.models import Build
from db.queue import transitions
from db.queue.enqueue import Enqueued
from db.queue.transitions import BuildResult
from db.records import builds
from db.status import (
    CancelResult,
    HeartbeatResult,
    Lease,
    Phase,
    Reason,
    Status,
    Trigger,
)
from tests.conftest import NOW

SUCCEEDED = BuildResult(Status.SUCCEEDED)
LATER = NOW + timedelta(minutes=5)
OTHER = "f" * 40


def reload(database: Database, build_id: int) -> Build:
    with database.read() as session:
        build = builds.get(session, build_id)
    assert build is not None
    return build


def test_claim_returns_due_builds_by_priority_then_age(
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


def test_claim_sets_a_lease_and_increments_the_attempt(running_build: Build) -> None:
    assert running_build.status is Status.RUNNING
    assert (running_build.attempt, running_build.worker) == (1, "worker-1")
    assert running_build.lease_expires_at == NOW + transitions.LEASE_LENGTH
    assert running_build.started_at == NOW


def test_claim_returns_none_if_the_queue_is_empty(database: Database, running_build: Build) -> None:
    with database.write() as session:
        assert transitions.claim(session, worker="w", now=LATER) is None


def test_a_heartbeat_extends_the_lease_and_returns_a_cancel_request(database: Database, lease: Lease) -> None:
    with database.write() as session:
        assert (
            transitions.heartbeat(session, lease, now=NOW + timedelta(seconds=20)) is HeartbeatResult.CONTINUE
        )
    assert reload(database, lease.build_id).lease_expires_at == NOW + timedelta(seconds=80)
    with database.write() as session:
        assert transitions.cancel(session, lease.build_id, by="alice", now=NOW) is CancelResult.REQUESTED
        assert transitions.heartbeat(session, lease, now=NOW) is HeartbeatResult.CANCEL


def test_a_builder_that_lost_its_lease_cannot_change_the_build(database: Database, lease: Lease) -> None:
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


def test_finish_records_the_result(database: Database, lease: Lease) -> None:
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


def test_finish_succeeds_despite_a_late_cancel_request(database: Database, lease: Lease) -> None:
    with database.write() as session:
        transitions.cancel(session, lease.build_id, by=None, now=NOW)
        assert transitions.finish(session, lease, SUCCEEDED, now=NOW)
    assert reload(database, lease.build_id).status is Status.SUCCEEDED


def test_infrastructure_errors_are_retried_with_a_delay_until_no_attempt_is_left(
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


def test_retry_cancels_a_build_with_a_cancel_request(database: Database, lease: Lease) -> None:
    with database.write() as session:
        transitions.cancel(session, lease.build_id, by="bob", now=NOW)
        assert transitions.retry(session, lease, cause="x", message="x", now=NOW) is Status.CANCELLED


def test_a_released_build_keeps_its_attempts_and_can_be_claimed_at_once(
    database: Database, lease: Lease
) -> None:
    for attempt in range(1, 6):
        with database.write() as session:
            assert transitions.release(session, Lease(lease.build_id, attempt), now=NOW)
            again = transitions.claim(session, worker="w", now=NOW)
        assert again is not None and again.max_attempts - again.attempt == 2


def test_a_dead_builder_costs_an_attempt_and_the_last_attempt_fails_the_build(
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


def test_reap_ignores_builds_with_a_valid_lease(database: Database, lease: Lease) -> None:
    with database.write() as session:
        assert transitions.reap(session, now=NOW + transitions.LEASE_LENGTH) == []


def test_release_cancels_a_build_with_a_cancel_request(database: Database, lease: Lease) -> None:
    with database.write() as session:
        transitions.cancel(session, lease.build_id, by="bob", now=NOW)
        assert transitions.release(session, lease, now=NOW)
    build = reload(database, lease.build_id)
    assert (build.status, build.reason, build.cancelled_by) == (Status.CANCELLED, Reason.REQUESTED, "bob")


def test_reap_cancels_a_build_with_a_cancel_request(database: Database, lease: Lease) -> None:
    with database.write() as session:
        transitions.cancel(session, lease.build_id, by=None, now=NOW)
        assert transitions.reap(session, now=LATER) == [(lease.build_id, Status.CANCELLED)]


def test_cancel_ends_a_queued_build_at_once_and_ignores_an_ended_one(
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
