"""Newer pushes and deletions cancel or postpone queued builds, on both databases."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from db.database import Database
from db.models import Build, Repository
from db.queue import supersede
from db.queue.enqueue import Enqueued
from db.records import refs, repositories
from db.status import (
    Priority,
    Reason,
    Status,
    Trigger,
)
from tests.conftest import NOW
from tests.db.queue.test_transitions import LATER, OTHER, reload


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
def test_a_newer_push_supersedes_only_the_older_pushes_of_its_ref(
    database: Database, repository: Repository, enqueue: Callable[..., Enqueued], cancel: bool
) -> None:
    old = enqueue(commit="a" * 40, pushed_at=NOW).build
    launched = enqueue(commit="b" * 40, pushed_at=NOW, trigger=Trigger.LAUNCH).build
    shared = enqueue(commit="c" * 40, pushed_at=NOW).build
    other_ref = enqueue(commit="d" * 40, pushed_at=NOW, ref="refs/heads/dev").build
    future = enqueue(commit="e" * 40, pushed_at=LATER).build
    newer = enqueue(commit=OTHER, pushed_at=NOW + timedelta(seconds=1)).build
    assert old and launched and shared and other_ref and future and newer
    push(database, repository, "refs/heads/release", "c" * 40, 0)
    with database.write() as session:
        assert supersede.supersede(session, newer, cancel=cancel, now=NOW) == 1
    superseded = reload(database, old.id)
    if cancel:
        assert (superseded.status, superseded.reason, superseded.superseded_by) == (
            Status.CANCELLED,
            Reason.SUPERSEDED,
            newer.id,
        )
    else:
        assert (superseded.status, superseded.priority) == (Status.QUEUED, Priority.OVERTAKEN)
    for untouched in (launched, shared, other_ref, future):
        build = reload(database, untouched.id)
        assert (build.status, build.priority) == (Status.QUEUED, untouched.priority)


def test_a_running_build_is_never_superseded(
    database: Database, enqueue: Callable[..., Enqueued], running_build: Build
) -> None:
    newer = enqueue(commit=OTHER, pushed_at=LATER).build
    assert newer
    with database.write() as session:
        assert supersede.supersede(session, newer, cancel=True, now=LATER) == 0


def test_deleting_a_ref_or_repository_cancels_its_queued_builds(
    database: Database, repository: Repository, enqueue: Callable[..., Enqueued]
) -> None:
    pushed = enqueue(commit="a" * 40).build
    launched = enqueue(commit="b" * 40, trigger=Trigger.LAUNCH).build
    assert pushed and launched
    with database.write() as session:
        assert supersede.cancel_ref(session, repository, "refs/heads/main", now=NOW) == 1
    assert reload(database, pushed.id).reason is Reason.REF_DELETED
    assert reload(database, launched.id).status is Status.QUEUED
    with database.write() as session:
        repositories.disable(session, repository)
        assert supersede.cancel_repository(session, repository, now=NOW) == 1
    assert reload(database, launched.id).reason is Reason.REPOSITORY_GONE
