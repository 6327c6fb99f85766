"""An engine that stops or limits memory, and full disks: the build is retried, or fails with a message."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from builder.engine import memory_limit
from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.acceptance.builds.own_engine import Disk, OwnEngine
from tests.acceptance.leftovers import files_of_builds, nothing_is_left
from tests.acceptance.standstill import Standstill
from tests.support.service import Service

pytestmark = pytest.mark.engine

Start = Callable[..., Service]
MEGABYTES = 9  # of the builder's own disk
SPARE = 300  # megabytes that the engine's disk has left beside the base image


# Both are there before any service is started, so that they are still there when it stops.
@pytest.fixture(scope="module", autouse=True)
def own_engine(engine: docker.DockerClient, base_image: str) -> Iterator[OwnEngine]:
    """An engine that holds the base image, on a small disk."""
    megabytes = int(engine.images.get(base_image).attrs["Size"] * 1.1 / 1e6) + SPARE
    with OwnEngine(megabytes) as own_engine:
        own_engine.load(base_image)
        yield own_engine


@pytest.fixture(scope="module", autouse=True)
def builders_disk() -> Iterator[Path]:
    with Disk(MEGABYTES) as disk:
        yield disk.folder


@pytest.fixture(scope="module")
def service(own_engine: OwnEngine, start_service: Start) -> Service:
    """The service with that engine."""
    return start_service(environ={"DOCKER_HOST": own_engine.host})


@pytest.fixture(autouse=True)
def runs_again(own_engine: OwnEngine) -> Iterator[None]:
    """Whatever a test did to the engine, the next test finds it running."""
    yield
    if not own_engine.answers():
        own_engine.start()


def push(service: Service, repository: BareRepository, *commands: str) -> int:
    """Push a Dockerfile of some commands and return the build's id."""
    lines = [f"FROM {service.base_image}", "COPY . /files", *(f"RUN {command}" for command in commands)]
    commit = repository.commit({"Dockerfile": "\n".join(lines)})
    build_id: int = service.push(repository.full_name, commit)["build"]
    return build_id


def failed_attempt(service: Service, build_id: int, cause: str) -> str:
    """Return the message of the first attempt when it ended; a second attempt would disturb another test."""
    build = service.wait_until_requeued(build_id)
    assert (build["cause"], build["attempt"]) == (cause, 1), service.log(build_id)
    message: str = build["message"]
    assert message in service.log(build_id) and "\n" not in message
    assert service.post(f"builds/{build_id}/cancel").status_code == 200
    return message


def test_a_build_that_finds_no_engine_is_built_when_the_engine_is_back(
    service: Service, own_engine: OwnEngine, repository: BareRepository
) -> None:
    own_engine.stop()
    build_id = push(service, repository, "echo built at last")
    build = service.wait_until_requeued(build_id)
    assert (build["cause"], build["attempt"]) == ("engine_unavailable", 1)
    assert "repo2hub doctor" in build["message"]
    own_engine.start()
    build = service.wait_for(build_id)
    assert (build["status"], build["attempt"]) == ("succeeded", 2), service.log(build_id)
    assert (build["cause"], build["message"]) == (None, None)


def test_an_engine_that_stops_in_the_middle_of_a_build_leaves_nothing_behind(
    service: Service, own_engine: OwnEngine, repository: BareRepository, standstill: Standstill
) -> None:
    build_id = push(service, repository, standstill.step)
    service.wait_for_log(build_id, "it-stands-still")
    assert files_of_builds(service.data_dir)
    own_engine.stop()
    assert "repo2hub doctor" in failed_attempt(service, build_id, "engine_unavailable")
    standstill.go_on()  # the engine did not end its running step
    own_engine.start()
    nothing_is_left(service, str(service.data_dir / "work"), own_engine.client())


def test_an_engine_that_crashes_while_it_pushes_is_not_taken_for_the_registry(
    own_engine: OwnEngine, start_service: Start, repository: BareRepository
) -> None:
    with own_engine.silent_server() as address:
        service = start_service(environ={"DOCKER_HOST": own_engine.host}, REGISTRY_URL=address)
        build_id = push(service, repository)
        service.wait_for(build_id, phase="pushing")
        own_engine.crash()
        assert "repo2hub doctor" in failed_attempt(service, build_id, "engine_unavailable")
    own_engine.start()
    nothing_is_left(service, service.settings["IMAGE_PREFIX"], own_engine.client())


class WithCgroupsOf(Service):
    """A service whose builder finds the control groups of another engine in the place of the machine's."""

    engine: OwnEngine

    def command(self, *arguments: str) -> list[str]:
        machines = memory_limit.build_cgroup()[0].parent
        mount = f"mount --bind {machines.with_name(self.engine.cgroup)} {machines}"
        inside = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]
        return [*inside, *super().command(*arguments)]


@pytest.fixture
def limited(
    own_engine: OwnEngine, engine: docker.DockerClient, base_image: str, github: GitServer, tmp_path: Path
) -> Iterator[WithCgroupsOf]:
    """The service with a memory limit, which is one limit for all builds of an engine: hence the test's own."""
    for client in (
        engine,
        own_engine.client(),
    ):  # an engine makes its control groups with its first container
        client.containers.run(base_image, "true", remove=True)
    environ = {"DOCKER_HOST": own_engine.host}
    service = WithCgroupsOf(tmp_path, github.url, base_image, {"BUILD_MEMORY_LIMIT": "300m"}, environ)
    service.engine = own_engine
    service.start_all()
    yield service
    service.stop_all()
    group, limit = memory_limit.build_cgroup()
    (group.parent.with_name(own_engine.cgroup) / group.name / limit).write_text(str(1 << 50))


def test_the_memory_limit_ends_a_build(limited: Service, repository: BareRepository) -> None:
    build_id = push(limited, repository, "python3 -c 'x = bytearray(1 << 30)'")
    build = limited.wait_for(build_id)
    assert (build["status"], build["reason"], build["cause"]) == ("failed", "memory_limit", "out_of_memory")
    assert "memory" in build["message"] and build["message"] in limited.log(build_id)


def test_a_full_disk_of_the_engine_is_for_the_admin_to_fix(
    service: Service, own_engine: OwnEngine, repository: BareRepository
) -> None:
    build_id = push(service, repository, f"head -c {2 * SPARE}M /dev/zero > /large")
    assert "no disk space left" in failed_attempt(service, build_id, "no_space")
    nothing_is_left(service, "/dev/zero", own_engine.client())


FILES = {
    "while it is fetched": {"noise": random.Random(1).randbytes(2 * MEGABYTES * 10**6)},
    "while it is checked out": {"large": b"x" * 2 * MEGABYTES * 10**6},
    "while repo2docker copies it": {"large": b"x" * (MEGABYTES * 10**6 * 2 // 3), "requirements.txt": b""},
}


@pytest.fixture(scope="module")
def small_builder(
    builders_disk: Path, start_service: Start, tmp_path_factory: pytest.TempPathFactory
) -> Service:
    """The service with the machine's engine, whose builder works on a small disk; its database is elsewhere."""
    database = tmp_path_factory.mktemp("database") / "repo2hub.db"
    return start_service(DATA_DIR=str(builders_disk), DATABASE_URL=f"sqlite:///{database}")


@pytest.mark.parametrize("when", FILES)
def test_a_full_disk_of_the_builder_is_for_the_admin_to_fix(
    small_builder: Service, builders_disk: Path, repository: BareRepository, when: str
) -> None:
    commit = repository.commit(FILES[when])
    build_id = small_builder.push(repository.full_name, commit)["build"]
    assert "no disk space left" in failed_attempt(small_builder, build_id, "no_space")
    assert not files_of_builds(builders_disk)
    assert shutil.disk_usage(builders_disk).used < 10**5
