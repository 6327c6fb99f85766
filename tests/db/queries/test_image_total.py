"""The total of all images, which triggers update for every kind of change, on both databases."""

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

    def make_image(number: int, size: int | None) -> Build:
        build = enqueue(commit=f"{number:040x}", force=True).build
        assert build is not None
        with database.write() as session:
            record(session, build, size)
        return build

    return make_image


def record(session: Session, build: Build, size: int | None) -> None:
    images.record(
        session, build=build, recipe=RECIPE, name=f"image-{build.id}", digest=None, size=size, now=NOW
    )


def total(database: Database) -> tuple[int, int]:
    """Return the stored total, after comparing it with the images."""
    with database.read() as session:
        stored = overview.stored_images(session)
        counted = session.execute(
            select(func.count(), func.coalesce(func.sum(Image.size), 0)).select_from(Image)
        )
        assert stored == tuple(counted.one())
    return stored


def test_new_and_changed_images_are_counted(database: Database, make: Make) -> None:
    assert total(database) == (0, 0)
    first = make(1, 100)
    make(2, None)
    make(3, 30)
    assert total(database) == (3, 130)
    with database.write() as session:
        record(session, first, 70)  # a rebuild
    assert total(database) == (3, 100)
    with database.write() as session:
        image = images.find(session, first.repository_id, first.commit, RECIPE)
        assert image is not None
        images.record_use(session, image, NOW)
        session.execute(update(Image).values(size=10))  # one statement, by hand
    assert total(database) == (3, 30)


def test_a_removed_and_restored_image_is_counted_once(database: Database, make: Make) -> None:
    make(1, 100)
    make(2, 20)
    later = NOW + timedelta(days=1)
    with database.write() as session:
        removed = retention.remove_image_record(session, 1, unused_since=later)
    assert removed is not None and total(database) == (1, 20)
    for _ in range(2):
        with database.write() as session:
            retention.restore_image_record(session, removed)
        assert total(database) == (2, 120)
    with database.write() as session:
        session.execute(delete(Image))
    assert total(database) == (0, 0)


def test_a_rolled_back_change_is_not_counted(database: Database, make: Make) -> None:
    build = make(1, 100)
    with pytest.raises(ZeroDivisionError), database.write() as session:
        record(session, build, 500)
        raise ZeroDivisionError
    assert total(database) == (1, 100)


def test_images_recorded_concurrently_are_all_counted(
    database: Database, enqueue: Callable[..., Enqueued]
) -> None:
    builds = [enqueue(commit=f"{number:040x}").build for number in range(40)]

    def record_all(own: list[Build | None]) -> None:
        for build in own:
            assert build is not None
            with database.write() as session:
                record(session, build, 10)

    threads = [threading.Thread(target=record_all, args=(builds[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total(database) == (40, 400)


def test_truncating_the_images_resets_the_total(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    with database.write() as session:
        session.execute(text("INSERT INTO image_total (id, images, bytes) VALUES (1, 5, 50)"))
        session.execute(text("TRUNCATE image"))
    assert total(database) == (0, 0)
    database.dispose()
