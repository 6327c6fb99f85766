"""Ended builds are counted once by each process, whatever the order in which transactions commit."""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.database import Database
from db.models import Build, Repository
from db.queries import metrics
from db.queue import enqueue, transitions
from db.queue.enqueue import Enqueued
from db.queue.transitions import BuildResult
from db.records import ended_totals, repositories
from db.records.ended_totals import EndedTotals
from db.status import Lease, Status, Trigger
from tests.conftest import NOW, RECIPE, database_url
from webhook.monitoring import build_counter
from webhook.monitoring.build_counter import EndedBuildCounter

__all__ = ["database_url"]  # on both databases


def counted(ended: EndedBuildCounter) -> int:
    return sum(ended.count().values())


def enqueue_build(session: Session, repository: Repository, commit: str) -> Build:
    build = enqueue.enqueue(
        session,
        repository=repository,
        ref="refs/heads/main",
        commit=commit,
        recipe=RECIPE,
        trigger=Trigger.PUSH,
        now=NOW,
    ).build
    assert build is not None
    return build


def finish_all(database: Database) -> int:
    """Claim and finish all queued builds, and return their number."""
    for finished in range(100):
        with database.write() as session:
            build = transitions.claim(session, worker="w", now=NOW)
            if build is None:
                return finished
            assert transitions.finish(session, Lease(build.id, 1), BuildResult(Status.SUCCEEDED), now=NOW)
    raise AssertionError("the queue did not become empty")


def test_each_build_is_counted_once_however_long_it_takes(
    database: Database, enqueue: Callable[..., Enqueued]
) -> None:
    ended = EndedBuildCounter(database)
    assert counted(ended) == 0
    enqueue(commit="a" * 40)
    slow = enqueue(commit="b" * 40).build
    assert slow is not None
    assert [counted(ended), counted(ended)] == [0, 0]  # the counter has passed both ids
    with database.write() as session:
        assert transitions.claim(session, worker="w", now=NOW) is not None
        assert transitions.finish(session, Lease(slow.id - 1, 1), BuildResult(Status.SUCCEEDED), now=NOW)
    assert [counted(ended), counted(ended)] == [1, 1]
    for letter in "cde":
        enqueue(commit=letter * 40)
    assert finish_all(database) == 4
    assert [counted(ended), counted(ended)] == [5, 5]
    assert counted(EndedBuildCounter(database)) == 5  # another process, or after a restart


def test_finally_counted_builds_are_not_read_again(
    database: Database, enqueue: Callable[..., Enqueued]
) -> None:
    ended = EndedBuildCounter(database)
    for letter in "abc":
        enqueue(commit=letter * 40)
    finish_all(database)
    assert [counted(ended), counted(ended)] == [3, 3]
    with database.write() as session:
        session.execute(text("UPDATE build SET status = 'queued', finished_at = NULL"))
    assert counted(ended) == 3


def test_a_build_that_commits_after_one_with_a_higher_id_is_counted(postgresql_url: str) -> None:
    database, slow = Database(postgresql_url), Database(postgresql_url)
    with database.write() as session:
        repository = repositories.record(session, full_name="Org/Repo", provider_id=1, now=NOW)
    ended = EndedBuildCounter(database)
    with slow.write() as late:
        lower = enqueue_build(late, repository, "a" * 40)
        with database.write() as session:
            higher = enqueue_build(session, repository, "b" * 40)
        assert lower.id < higher.id
        finish_all(database)
        assert [counted(ended) for _ in range(3)] == [1, 1, 1]
    finish_all(database)
    assert [counted(ended) for _ in range(3)] == [2, 2, 2]
    slow.dispose()
    database.dispose()


def test_a_snapshot_does_not_change(database: Database) -> None:
    count = text("SELECT count(*) FROM repository")
    with database.snapshot() as session:
        before = session.scalar(count)
        with database.write() as other:
            repositories.record(other, full_name="Org/Repo", provider_id=1, now=NOW)
        assert session.scalar(count) == before == 0
    with database.snapshot() as session:
        assert session.scalar(count) == 1


def test_a_new_process_goes_on_from_what_was_saved(
    database: Database, enqueue: Callable[..., Enqueued], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_counter, "_SAVE_EVERY", 1)
    counted_from: list[int] = []
    count_ended = metrics.count_ended

    def spy(session: Session, *, after: int, upto: int) -> Iterator[metrics.EndedCount]:
        counted_from.append(after)
        return count_ended(session, after=after, upto=upto)

    for letter in "abc":
        enqueue(commit=letter * 40)
    with database.write() as session:
        slow = transitions.claim(session, worker="w", now=NOW)
    assert slow is not None and finish_all(database) == 2
    before = EndedBuildCounter(database)
    assert [counted(before), counted(before)] == [2, 2]
    monkeypatch.setattr(metrics, "count_ended", spy)
    with database.write() as session:
        assert transitions.finish(session, Lease(slow.id, 1), BuildResult(Status.SUCCEEDED), now=NOW)
    enqueue(commit="d" * 40)
    assert finish_all(database) == 1
    after = EndedBuildCounter(database)
    assert after.count() == before.count()
    assert counted(after) == 4
    assert counted_from and min(counted_from) == 3  # the first three are not read again


def test_an_older_count_does_not_replace_a_newer_one(database: Database) -> None:
    newer = EndedTotals(7, frozenset({3}), Counter({(Status.FAILED, "gh", None): 2}))
    for totals in (newer, EndedTotals(5, frozenset(), Counter())):
        with database.write() as session:
            ended_totals.save(session, totals)
    with database.read() as session:
        assert ended_totals.load(session) == newer
