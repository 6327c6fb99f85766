"""Dockerfile.builder, built and used: the builder in a container, with its host's engine, and not as root.

Git server and registry are on the host's loopback interface, so the container shares its network.
"""

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from repo2hub.git_repository import BareRepository
from tests.acceptance.leftovers import nothing_is_left
from tests.acceptance.registry import Registry
from tests.acceptance.service import Service
from tests.acceptance.standstill import Standstill
from tests.conftest import ROOT

pytestmark = pytest.mark.engine

SOCKET = Path(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"))
USER = os.getuid() or 1000


@pytest.fixture(scope="module")
def builder_image(engine: docker.DockerClient, base_image: str) -> Iterator[str]:
    """The image, built as its file says."""
    name = f"r2htest/builder:{uuid.uuid4().hex[:8]}"
    command = [
        "docker",
        "buildx",
        "build",
        "--file=Dockerfile.builder",
        f"--build-arg=BASE_IMAGE={base_image}",
    ]
    built = subprocess.run(
        [*command, f"--tag={name}", "."], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert built.returncode == 0, built.stderr
    yield name
    engine.images.remove(name, force=True)


@dataclass
class Contained:
    """A service whose builder runs in a container."""

    service: Service
    registry: Registry
    container: Container


@pytest.fixture(scope="module")
def contained(
    engine: docker.DockerClient,
    builder_image: str,
    start_service: Callable[..., Service],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Contained]:
    registry = Registry(tmp_path_factory.mktemp("registry"))
    registry.start()
    service = start_service(REGISTRY_URL=registry.url)
    service.stop("builder")
    if os.getuid() == 0:
        for path in (service.data_dir, *service.data_dir.rglob("*")):
            os.chown(path, USER, USER)
    container = engine.containers.run(
        builder_image,
        detach=True,
        init=True,
        network_mode="host",
        user=str(USER),
        group_add=[SOCKET.stat().st_gid],
        environment={k: v for k, v in service.environment.items() if k.startswith("REPO2HUB_")},
        volumes=[f"{SOCKET}:/var/run/docker.sock", f"{service.data_dir}:{service.data_dir}"],
    )
    yield Contained(service, registry, container)
    container.remove(force=True)
    registry.stop()


def push(contained: Contained, repository: BareRepository, command: str) -> int:
    service = contained.service
    commit = repository.commit(service.dockerfile(command))
    build_id: int = service.push(repository.full_name, commit)["build"]
    return build_id


def test_the_builder_in_a_container_turns_a_push_into_an_image_in_the_registry(
    contained: Contained, repository: BareRepository, engine: docker.DockerClient
) -> None:
    service = contained.service
    build = service.wait_for(push(contained, repository, "echo contained > /word"))
    assert build["status"] == "succeeded", service.log(build["id"])
    found = service.image(repository.full_name, "main")
    assert engine.containers.run(found["image"], ["cat", "/word"], remove=True) == b"contained\n"
    name, _, tag = found["image"].removeprefix(f"127.0.0.1:{contained.registry.port}/").rpartition(":")
    assert found["digest"] == contained.registry.digest(name, tag) is not None


def test_the_builder_in_a_container_is_not_root_and_reaches_the_engine(
    contained: Contained, engine: docker.DockerClient, builder_image: str
) -> None:
    assert contained.container.exec_run(["id", "-u"]).output == f"{USER}\n".encode()
    health = engine.images.get(builder_image).attrs["Config"]["Healthcheck"]["Test"]
    assert health[0] == "CMD"
    assert contained.container.exec_run(health[1:]).exit_code == 0


def test_docker_stop_gives_the_running_build_back_in_time(
    contained: Contained, repository: BareRepository, standstill: Standstill
) -> None:
    service, container = contained.service, contained.container
    build_id = push(contained, repository, standstill.step)
    service.wait_for_log(build_id, "it-stands-still")
    container.stop(timeout=60)
    assert container.wait()["StatusCode"] == 0, container.logs().decode()
    build = service.get(f"builds/{build_id}")
    assert (build["status"], build["attempt"], build["cause"]) == ("queued", 1, None)
    nothing_is_left(service, standstill.process)
    container.start()
    standstill.go_on()
    build = service.wait_for(build_id)
    assert (build["status"], build["attempt"]) == ("succeeded", 2), service.log(build_id)
