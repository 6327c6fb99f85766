"""The records of images."""

from collections.abc import Callable

import pytest

from db.database import Database
from db.models import Build, Image, Repository
from db.queries import ref_images
from db.queue import transitions
from db.queue.enqueue import Enqueued
from db.queue.transitions import BuildResult
from db.records import images
from db.status import Lease, Reason, Status
from tests.conftest import COMMIT, NOW, RECIPE
from tests.db.processes import LATER

OTHER = "f" * 40
Make = Callable[..., Build]


@pytest.fixture
def make(database: Database, enqueue: Callable[..., Enqueued]) -> Make:
    """Run a build that records an image, or that fails."""

    def make_image(
        commit: str = COMMIT, *, recipe: str = RECIPE, succeeds: bool = True, **request: object
    ) -> Build:
        now = request.get("now", NOW)
        enqueue(commit=commit, recipe=recipe, **request)
        result = BuildResult(Status.SUCCEEDED) if succeeds else BuildResult(Status.FAILED, Reason.USER_ERROR)
        with database.write() as session:
            build = transitions.claim(session, worker="w", now=LATER)
            assert build is not None
            assert transitions.finish(session, Lease(build.id, 1), result, now=LATER)
            if succeeds:
                name = f"image-{build.id}"
                images.record(
                    session,
                    build=build,
                    recipe=recipe,
                    name=name,
                    digest="sha256:1",
                    size=5,
                    now=now,  # type: ignore[arg-type]
                )
        return build

    return make_image


def found(
    database: Database, repository: Repository, commit: str = COMMIT, recipe: str = RECIPE
) -> Image | None:
    with database.read() as session:
        return images.find(session, repository.id, commit, recipe)


def test_an_image_is_found_by_its_commit_and_recipe(
    database: Database, repository: Repository, make: Make
) -> None:
    build = make()
    image = found(database, repository)
    assert image is not None
    assert (image.build_id, image.name, image.digest, image.size) == (
        build.id,
        f"image-{build.id}",
        "sha256:1",
        5,
    )
    assert found(database, repository, commit=OTHER) is None
    assert found(database, repository, recipe="other") is None


def test_a_rebuild_replaces_the_image(database: Database, repository: Repository, make: Make) -> None:
    make()
    rebuilt = make(force=True, now=LATER)
    image = found(database, repository)
    assert image is not None and (image.build_id, image.built_at) == (rebuilt.id, LATER)


def test_the_newest_image_of_a_commit_is_found_whatever_its_recipe(
    database: Database, repository: Repository, make: Make
) -> None:
    make(recipe="new", now=LATER)
    make(recipe="old", now=NOW)
    with database.read() as session:
        newest = images.newest_of_commit(session, repository.id, COMMIT)
        assert newest is not None and newest.recipe == "new"
        assert images.newest_of_commit(session, repository.id, OTHER) is None


def test_the_newest_image_of_a_ref_is_that_of_its_newest_successful_build(
    database: Database, repository: Repository, make: Make
) -> None:
    main = "refs/heads/main"
    with database.read() as session:
        assert ref_images.newest_of_ref(session, repository.id, main) is None
    make("a" * 40)
    successful = make("b" * 40)
    make("c" * 40, succeeds=False)
    make("d" * 40, ref="refs/heads/dev")
    with database.read() as session:
        last = ref_images.newest_of_ref(session, repository.id, main)
    assert last is not None and last.build_id == successful.id


def test_the_last_use_of_an_image_is_recorded(database: Database, repository: Repository, make: Make) -> None:
    make()
    image = found(database, repository)
    assert image is not None and image.last_used_at is None
    with database.write() as session:
        images.record_use(session, image, LATER)
    image = found(database, repository)
    assert image is not None and image.last_used_at == LATER
