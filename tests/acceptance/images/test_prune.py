"""`repo2hub prune` on a real engine: what it lists, what it removes, and what containers keep."""

import io
import tarfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import ImageNotFound
from sqlalchemy import select

from builder import image_removal
from builder.engine.docker_client import Engine
from builder.errors import InfrastructureError
from db import migrate
from db.database import Database
from db.models import Image
from db.queue import enqueue, transitions
from db.queue.transitions import BuildResult
from db.records import images, repositories, retention
from db.status import Lease, Status, Trigger
from tests.conftest import RECIPE
from tests.support.registry import Registry
from tests.support.service import Service

pytestmark = pytest.mark.engine

LONG_AGO = datetime.now(UTC) - timedelta(days=100)


@pytest.fixture
def service(tmp_path: Path, base_image: str) -> Service:
    """Only its command line: no process of it runs."""
    return Service(tmp_path, "http://127.0.0.1:9", base_image)


@pytest.fixture
def database(service: Service) -> Iterator[Database]:
    database = Database(f"sqlite:///{service.data_dir / 'repo2hub.db'}")
    migrate.upgrade(database)
    yield database
    database.dispose()


@pytest.fixture
def host() -> str:
    """What stands before the names of images: nothing where no registry has them."""
    return ""


@pytest.fixture
def names(database: Database, engine: docker.DockerClient, base_image: str, host: str) -> Iterator[list[str]]:
    """Three images of one branch, of long ago, the oldest first: each a name of its own for a small image."""
    prefix = f"{host}r2htest-{uuid.uuid4().hex[:8]}/org/repo"
    made = []
    for number in range(1, 4):
        name = f"{prefix}:{number}"
        label = {"number": str(number), "of": prefix}
        container = engine.containers.create(base_image, ["true"], labels=label)
        container.commit(*name.rsplit(":", 1))
        container.remove()
        made.append(name)
        with database.write() as session:
            row = repositories.record(session, full_name="Org/Repo", now=LONG_AGO)
            fields: Any = {"ref": "refs/heads/main", "commit": f"{number:040x}", "recipe": RECIPE}
            enqueue.enqueue_entry(session, repository=row, trigger=Trigger.PUSH, now=LONG_AGO, **fields)
            build = transitions.claim(session, worker="w", now=LONG_AGO)
            assert build is not None
            transitions.finish(session, Lease(build.id, 1), BuildResult(Status.SUCCEEDED), now=LONG_AGO)
            what: Any = {"recipe": RECIPE, "name": name, "digest": None, "size": 2**30}
            images.record(session, build=build, now=LONG_AGO, **what)
    yield made
    for name in made:
        try:
            engine.images.remove(name, force=True)
        except ImageNotFound:
            pass


def is_there(engine: docker.DockerClient, name: str) -> bool:
    try:
        engine.images.get(name)
    except ImageNotFound:
        return False
    return True


def recorded(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Image.name).order_by(Image.name)))


def test_it_lists_images_first_and_removes_them_with_yes(
    service: Service, database: Database, names: list[str], engine: docker.DockerClient
) -> None:
    shown = service.run("prune", "--keep", "1")
    assert shown.returncode == 0, shown.stderr
    assert "2 images, 2.0 GiB" in shown.stdout and "Org/Repo" in shown.stdout
    assert "Nothing was removed" in shown.stderr
    assert all(is_there(engine, name) for name in names) and recorded(database) == names

    done = service.run("prune", "--keep", "1", "--yes")
    assert done.returncode == 0, done.stderr
    assert "2 images removed" in done.stdout
    assert [is_there(engine, name) for name in names] == [False, False, True]
    assert recorded(database) == names[2:]
    assert "0 images" in service.run("prune", "--keep", "1").stdout


def test_images_of_containers_stay_even_if_a_container_starts_meanwhile(
    database: Database, names: list[str], engine: docker.DockerClient
) -> None:
    begun: list[Any] = [engine.containers.create(names[0], ["true"])]
    since = datetime.now(UTC) - timedelta(days=30)
    with database.read() as session:
        found = retention.unused_images(session, unused_since=since, keep=1)
    assert [image.name for image in found] == names[:2]

    def a_server_starts(_seconds: float) -> None:
        # Its lookup was just before this: now no lookup returns the image any more.
        assert recorded(database) == [names[0], names[2]]
        begun.append(engine.containers.create(names[1], ["true"]))

    try:
        with Engine() as ours:
            removed = image_removal.remove_images(
                database, ours, found, unused_since=since, wait=a_server_starts
            )
        assert (removed.count, removed.kept) == (0, tuple(names[:2]))
        assert all(is_there(engine, name) for name in names) and recorded(database) == names
    finally:
        for container in begun:
            container.remove()


@pytest.mark.parametrize("host", ["127.0.0.1:9/"])
def test_records_of_images_in_a_registry_stay_even_without_the_registry_setting(
    service: Service, database: Database, names: list[str], engine: docker.DockerClient
) -> None:
    assert "REGISTRY_URL" not in service.settings
    done = service.run("prune", "--keep", "1", "--yes")
    assert done.returncode == 0, done.stderr
    assert "2 images removed" in done.stdout
    assert [is_there(engine, name) for name in names] == [False, False, True]
    assert recorded(database) == names


def test_without_an_engine_no_record_is_lost(service: Service, database: Database, names: list[str]) -> None:
    service.environ["DOCKER_HOST"] = "tcp://127.0.0.1:9"
    failed = service.run("prune", "--keep", "1", "--yes")
    assert failed.returncode == 1 and "container engine does not respond" in failed.stderr
    assert recorded(database) == names


class TooLate(Engine):
    """An engine that removes an image only after the time limit."""

    def remove_image(self, name: str) -> bool:
        super().remove_image(name)
        raise InfrastructureError("engine_unavailable", "it did not answer in time")


def test_an_image_that_is_removed_after_the_time_limit_loses_its_record(
    database: Database, names: list[str], engine: docker.DockerClient
) -> None:
    since = datetime.now(UTC) - timedelta(days=30)
    with database.read() as session:
        found = retention.unused_images(session, unused_since=since, keep=1)
    with TooLate() as late, pytest.raises(InfrastructureError):
        image_removal.remove_images(database, late, found, unused_since=since, wait=lambda _seconds: None)
    gone = [name for name in names if not is_there(engine, name)]
    assert len(gone) == 1  # and what was not come to is on record again
    assert recorded(database) == [name for name in names if name not in gone]


def test_ctrl_c_loses_no_record(database: Database, names: list[str], engine: docker.DockerClient) -> None:
    since = datetime.now(UTC) - timedelta(days=30)
    with database.read() as session:
        found = retention.unused_images(session, unused_since=since, keep=1)

    def ctrl_c(_seconds: float) -> None:
        raise KeyboardInterrupt

    with Engine() as ours, pytest.raises(KeyboardInterrupt):
        image_removal.remove_images(database, ours, found, unused_since=since, wait=ctrl_c)
    assert recorded(database) == names and all(is_there(engine, name) for name in names)


def content() -> bytes:
    """Return an archive for `docker import`: an image of one small file, which is like no other."""
    archive, text = io.BytesIO(), uuid.uuid4().bytes
    member = tarfile.TarInfo("file")
    member.size = len(text)
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(member, io.BytesIO(text))
    return archive.getvalue()


@pytest.fixture
def build_again(engine: docker.DockerClient, registry: Registry) -> Iterator[Callable[[], tuple[str, str]]]:
    """Give an image its final name in the place of the one before, push it, and return that name and its id."""
    name = f"{registry.url.removeprefix('http://')}/org/repo:{'c' * 40}-{RECIPE}"
    made = []

    def build() -> tuple[str, str]:
        engine.api.import_image_from_data(content(), repository="r2htest-again", tag="1")
        made.append(str(engine.images.get("r2htest-again:1").id))
        with Engine() as ours:
            assert ours.rename("r2htest-again:1", name).id == made[-1]
        engine.images.push(name)
        return name, made[-1]

    yield build
    for image_id in made:
        if is_there(engine, image_id):
            engine.images.remove(image_id, force=True)


def test_a_rebuild_removes_the_image_that_it_replaces(
    build_again: Callable[[], tuple[str, str]], engine: docker.DockerClient
) -> None:
    (_, before), (_, now) = build_again(), build_again()
    assert is_there(engine, now) and not is_there(engine, before)


def test_a_replaced_image_is_pruned_when_no_container_uses_it(
    build_again: Callable[[], tuple[str, str]], database: Database, engine: docker.DockerClient
) -> None:
    def kept_by_prune() -> list[str]:
        with Engine() as ours:
            done = image_removal.remove_images(database, ours, [], unused_since=LONG_AGO)
        return [kept for kept in done.kept if kept.startswith(name)]

    name, before = build_again()
    container = engine.containers.create(name, ["true"])
    try:
        _, now = build_again()
        assert len(kept_by_prune()) == 1 and is_there(engine, before)
    finally:
        container.remove()
    assert kept_by_prune() == []
    assert is_there(engine, now) and not is_there(engine, before)
