"""Requests create a build, join the active one, or find the image, on both databases."""

from collections.abc import Callable

from db.database import Database
from db.models import Build
from db.queue import transitions
from db.queue.enqueue import Enqueued
from db.records import images
from db.status import (
    EnqueueOutcome,
    HeartbeatResult,
    Lease,
    Priority,
    Status,
    Trigger,
)
from tests.conftest import NOW, RECIPE
from tests.db.queue.test_transitions import SUCCEEDED, reload


def test_a_request_creates_a_queued_build(queued_build: Build) -> None:
    assert queued_build.status is Status.QUEUED
    assert (queued_build.attempt, queued_build.priority) == (0, Priority.PUSH)


def test_a_launch_joins_the_active_build_and_raises_its_priority(
    enqueue: Callable[..., Enqueued], queued_build: Build, database: Database
) -> None:
    joined = enqueue(trigger=Trigger.LAUNCH)
    assert joined.outcome is EnqueueOutcome.JOINED
    assert joined.build is not None and joined.build.id == queued_build.id
    assert reload(database, queued_build.id).priority == Priority.INTERACTIVE


def test_a_request_for_an_existing_image_creates_no_build(
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


def test_joining_a_build_withdraws_its_cancel_request(
    database: Database, enqueue: Callable[..., Enqueued], lease: Lease
) -> None:
    with database.write() as session:
        transitions.cancel(session, lease.build_id, by="bob", now=NOW)
    joined = enqueue(ref="refs/heads/other")
    assert joined.outcome is EnqueueOutcome.JOINED and joined.build is not None
    assert (joined.build.cancel_requested_at, joined.build.cancelled_by) == (None, None)
    with database.write() as session:
        assert transitions.heartbeat(session, lease, now=NOW) is HeartbeatResult.CONTINUE
        # The builder has already stopped.
        assert transitions.release(session, lease, now=NOW)
        again = transitions.claim(session, worker="w", now=NOW)
    assert again is not None and again.id == lease.build_id
