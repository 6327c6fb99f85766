"""The figures of the admin overview, on both databases."""

from collections.abc import Callable
from datetime import timedelta

from db.database import Database
from db.queries import overview
from db.queue.enqueue import Enqueued
from db.status import Status
from tests.conftest import NOW
from tests.db.queries.ended_builds import Ended, ended, repository

__all__ = ["ended", "repository"]


def test_the_overview_reads_ended_builds_and_the_queue_depth(
    database: Database, ended: Ended, enqueue: Callable[..., Enqueued]
) -> None:
    ended(finished_at=NOW - timedelta(days=9), started_at=NOW - timedelta(days=9))
    ended(finished_at=NOW + timedelta(seconds=60))
    ended(status=Status.FAILED, cause="no_space", started_at=None)
    enqueue(commit="f" * 40)
    with database.read() as session:
        found = overview.ended_since(session, NOW - timedelta(days=7))
        depth = overview.queue_depth(session)
    assert [(build.status, build.cause, build.seconds) for build in found] == [
        (Status.FAILED, "no_space", None),
        (Status.SUCCEEDED, None, 60.0),
    ]
    assert depth == (1, 0, NOW)
