"""The sum of all images, which triggers keep whoever changes the images and however, on both databases."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from db.database import Database
from db.models import Build, Image
from db.queries import overview
from db.queue.enqueue import Enqueued
from db.records import images, retention
from tests.conftest import NOW, RECIPE

Make = Callable[..., Build]


@pytest.fixture
def make(database: Database, enqueue: Callable[..., Enqueued]) -> Make:
    """Record the image of a commit, as a builder does."""

    def make_one(number: int, size: int | None) -> Build:
        build = enqueue(commit=f"{number:040x}", force=True).build
        assert build is not None
        with database.write() as session:
            record(session, build, size)
        return build

    return make_one


def record(session: Session, build: Build, size: int | None) -> None:
    images.record(
        session, build=build, recipe=RECIPE, name=f"image-{build.id}", digest=None, size=size, now=NOW
    )


def total(database: Database) -> tuple[int, int]:
    """Return the total as it is kept, having compared it with the images."""
    with database.read() as session:
        kept = overview.stored_images(session)
        counted = session.execute(
            select(func.count(), func.coalesce(func.sum(Image.size), 0)).select_from(Image)
        )
        assert kept == tuple(counted.one())
    return kept


def test_images_that_come_change_and_go_are_counted(database: Database, make: Make) -> None:
    assert total(database) == (0, 0)
    first = make(1, 100)
    make(2, None)
    make(3, 30)
    assert total(database) == (3, 130)
    with database.write() as session:
        record(session, first, 70)  # built again
    assert total(database) == (3, 100)
    with database.write() as session:
        image = images.find(session, first.repository_id, first.commit, RECIPE)
        assert image is not None
        images.record_use(session, image, NOW)
        session.execute(update(Image).values(size=10))  # all at once, by hand
    assert total(database) == (3, 30)


def test_an_image_that_is_pruned_and_remembered_is_counted_once(database: Database, make: Make) -> None:
    make(1, 100)
    make(2, 20)
    later = NOW + timedelta(days=1)
    with database.write() as session:
        forgotten = retention.remove_image_record(session, 1, unused_since=later)
    assert forgotten is not None and total(database) == (1, 20)
    for _again in range(2):
        with database.write() as session:
            retention.restore_image_record(session, forgotten)
        assert total(database) == (2, 120)
    with database.write() as session:
        session.execute(delete(Image))
    assert total(database) == (0, 0)


def test_what_is_rolled_back_is_not_counted(database: Database, make: Make) -> None:
    build = make(1, 100)
    with pytest.raises(ZeroDivisionError), database.write() as session:
        record(session, build, 500)
        raise ZeroDivisionError
    assert total(database) == (1, 100)


def test_builders_that_record_at_once_are_all_counted(
    database: Database, enqueue: Callable[..., Enqueued]
) -> None:
    builds = [enqueue(commit=f"{number:040x}").build for number in range(40)]

    def work(mine: list[Build | None]) -> None:
        for build in mine:
            assert build is not None
            with database.write() as session:
                record(session, build, 10)

    threads = [threading.Thread(target=work, args=(builds[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total(database) == (40, 400)


def test_a_table_that_is_emptied_at_once_leaves_nothing(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    with database.write() as session:
        session.execute(text("INSERT INTO image_total (id, images, bytes) VALUES (1, 5, 50)"))
        session.execute(text("TRUNCATE image"))
    assert total(database) == (0, 0)
    database.dispose()
