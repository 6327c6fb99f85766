"""Retention on both databases: images that a ref needs or that are used in the meantime are never removed."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from db.database import Database
from db.models import Delivery, Image, LogChunk, Repository
from db.queue import enqueue, transitions
from db.queue.transitions import BuildResult
from db.records import deliveries, images, logs, refs, repositories, retention
from db.status import Lease, Reason, Status, Trigger
from tests.conftest import NOW, RECIPE

DAY = timedelta(days=1)
MAIN, DEV = "refs/heads/main", "refs/heads/dev"
SINCE = NOW + 30 * DAY

Built = Callable[..., str]


@pytest.fixture
def built(database: Database, repository: Repository) -> Built:
    """Run a build with a log for a commit of a ref, and return the commit."""

    def run_build(
        number: int, ref: str = MAIN, *, at: datetime = NOW, status: Status = Status.SUCCEEDED
    ) -> str:
        commit = f"{number:040x}"
        request: Any = {"ref": ref, "commit": commit, "recipe": RECIPE, "trigger": Trigger.PUSH}
        with database.write() as session:
            enqueue.enqueue_entry(session, repository=repository, now=at, **request)
            build = transitions.claim(session, worker="w", now=at)
            assert build is not None
            lease = Lease(build.id, build.attempt)
            logs.append(session, lease, first_seq=1, texts=["hello\n"], now=at)
            reason = None if status is Status.SUCCEEDED else Reason.USER_ERROR
            transitions.finish(session, lease, BuildResult(status, reason), now=at)
            if status is Status.SUCCEEDED:
                image: Any = {"name": f"image:{number}", "digest": None, "size": 10}
                images.record(session, build=build, recipe=RECIPE, now=at, **image)
        return commit

    return run_build


def unused(database: Database, *, keep: int = 1, since: datetime = SINCE) -> list[str]:
    with database.read() as session:
        return [image.name for image in retention.unused_images(session, unused_since=since, keep=keep)]


def test_the_newest_images_of_each_ref_stay(database: Database, built: Built) -> None:
    for number in range(1, 5):
        built(number)
    built(9, DEV)
    assert unused(database) == ["image:1", "image:2", "image:3"]
    assert unused(database, keep=3) == ["image:1"]
    assert unused(database, keep=0) == ["image:1", "image:2", "image:3"]


def test_a_deleted_branch_keeps_only_images_that_another_ref_needs(
    database: Database, repository: Repository, built: Built
) -> None:
    merged, _ = built(1, DEV), built(2, DEV)
    built(3, "refs/heads/other")
    at: Any = {"before": None, "pushed_at": NOW, "now": NOW}
    with database.write() as session:
        refs.record_push(session, repository, ref=DEV, commit=None, **at)
        refs.record_push(session, repository, ref=MAIN, commit=merged, **at)
    assert unused(database, keep=3) == ["image:2"]
    with database.write() as session:
        assert retention.count_old_logs(session, before=SINCE) == 2
        logs.remove(session, retention.find_old_logs(session, before=SINCE))
        assert retention.find_old_logs(session, before=SINCE) == []
        assert set(session.scalars(select(LogChunk.build_id))) == {3}


def test_an_image_whose_name_another_repository_shares_stays(database: Database, built: Built) -> None:
    """A repository that took over a name shares the names of images for equal commits."""
    for number in (1, 2):
        built(number)
    assert unused(database) == ["image:1"]
    with database.write() as session:
        successor = repositories.record(session, full_name="Org/Successor", provider_id=2, now=NOW)
        old = session.scalars(select(Image).where(Image.name == "image:1")).one()
        image: Any = {
            "name": "image:1",
            "digest": None,
            "size": 10,
            "built_at": NOW,
            "build_id": old.build_id,
        }
        session.add(Image(repository_id=successor.id, commit=old.commit, recipe=RECIPE, **image))
    assert unused(database) == []
    with database.write() as session:
        assert retention.remove_image_record(session, old.id, unused_since=SINCE) is None


def test_recently_used_images_stay(database: Database, built: Built) -> None:
    for number in range(1, 4):
        built(number)
    assert unused(database, since=NOW) == []
    with database.write() as session:
        used = update(Image).where(Image.name == "image:1").values(last_used_at=SINCE)
        session.execute(used)
    assert unused(database) == ["image:2"]


def test_the_image_of_a_head_stays_whatever_ref_it_was_built_for(
    database: Database, repository: Repository, built: Built
) -> None:
    old, _ = built(1), built(2)
    with database.write() as session:
        at: Any = {"before": None, "pushed_at": NOW, "now": NOW}
        refs.record_push(session, repository, ref="refs/tags/v1", commit=old, **at)
    assert unused(database) == []


def test_an_image_used_in_the_meantime_is_not_removed(database: Database, built: Built) -> None:
    built(1), built(2)
    with database.read() as session:
        (image,) = retention.unused_images(session, unused_since=SINCE, keep=1)
    with database.write() as session:
        images.record_use(session, session.get_one(Image, image.image_id), SINCE)
        assert retention.remove_image_record(session, image.image_id, unused_since=SINCE) is None
    with database.read() as session:
        assert session.get(Image, image.image_id) is not None


def test_a_removed_record_can_be_restored(database: Database, built: Built) -> None:
    built(2), built(1)

    def record() -> dict[str, Any]:
        with database.read() as session:
            row = session.scalars(select(Image).where(Image.name == "image:1")).one()
            return {name: getattr(row, name) for name in Image.__table__.columns.keys()}

    before = record()
    image_id = before.pop("id")
    with database.write() as session:
        removed = retention.remove_image_record(session, image_id, unused_since=SINCE)
    assert removed is not None
    with database.read() as session:
        assert images.find(session, before["repository_id"], before["commit"], RECIPE) is None
        assert not retention.is_needed_again(session, removed)
    built(3)  # gets the removed id on SQLite, because that was the highest
    for _ in range(2):
        with database.write() as session:
            retention.restore_image_record(session, removed)
    assert before.items() <= record().items()


def test_an_image_that_is_being_built_again_is_needed_again(
    database: Database, repository: Repository, built: Built
) -> None:
    commit, _ = built(1), built(2)
    with database.write() as session:
        (image,) = retention.unused_images(session, unused_since=SINCE, keep=1)
        removed = retention.remove_image_record(session, image.image_id, unused_since=SINCE)
        assert removed is not None
        request: Any = {"ref": MAIN, "commit": commit, "recipe": RECIPE, "trigger": Trigger.LAUNCH}
        enqueue.enqueue_entry(session, repository=repository, now=NOW, **request)
        assert retention.is_needed_again(session, removed)


def test_old_logs_are_removed_except_the_newest_of_each_ref(database: Database, built: Built) -> None:
    built(1), built(2, status=Status.FAILED), built(3), built(4, DEV)
    before = NOW + DAY
    with database.write() as session:
        assert retention.count_old_logs(session, before=NOW) == 0
        assert retention.count_old_logs(session, before=before) == 2
        old = retention.find_old_logs(session, before=before)
        assert len(old) == 2
        logs.remove(session, old)
        assert retention.find_old_logs(session, before=before) == []
        left = session.scalars(select(LogChunk.build_id).distinct().order_by(LogChunk.build_id)).all()
    assert len(left) == 2


def test_old_deliveries_are_removed(database: Database) -> None:
    with database.write() as session:
        for number in range(3):
            at = NOW + number * DAY
            deliveries.record(session, guid=f"guid-{number}", event="push", action=None, now=at)
        before = NOW + 2 * DAY
        assert retention.count_old_deliveries(session, before=before) == 2
        assert retention.remove_old_deliveries(session, before=before) == 2
        assert retention.remove_old_deliveries(session, before=before) == 0
        assert session.scalar(select(func.count()).select_from(Delivery)) == 1
