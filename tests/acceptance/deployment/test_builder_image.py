"""Dockerfile.builder, built and used as the README says: in a container, with its host's engine, and not as root.

Git server and registry are on the host's loopback interface, so the container shares its network.
"""

import io
import os
import re
import subprocess
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from demo.github.bare_repository import BareRepository
from tests.acceptance.leftovers import nothing_is_left
from tests.acceptance.standstill import Standstill
from tests.conftest import ROOT
from tests.support.registry import Registry
from tests.support.service import Service

pytestmark = pytest.mark.engine

SOCKET = Path(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"))
USER = os.getuid() or 1000
DATA = "/var/lib/repo2hub"
(RUN,) = re.findall(
    r"^(docker run .*?) repo2hub-builder\n```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
)


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


def as_the_readme_says(volume: str, login: Path) -> str:
    """Return the README's command up to the image's name, with this test's own names, folders and user."""
    command = RUN
    for said, ours in (
        ("--name repo2hub-builder", f"--name {volume}"),
        ("-v repo2hub-builder:", f"-v {volume}:"),
        ("--user 1000", f"--user {USER}"),
        ("stat -c %g /var/run/docker.sock", f"stat -c %g {SOCKET}"),
        ("-v /var/run/docker.sock:", f"-v {SOCKET}:"),
        ("-v /etc/repo2hub/docker:", f"-v {login}:"),
    ):
        assert command.count(said) == 1, said
        command = command.replace(said, ours)
    return command


@dataclass
class Contained:
    """A service whose builder runs in a container, with a volume of the same name."""

    service: Service
    registry: Registry
    engine: docker.DockerClient
    image: str
    login: Path
    name: str = field(default_factory=lambda: f"r2htest-{uuid.uuid4().hex[:8]}")

    @property
    def container(self) -> Container:
        return self.engine.containers.get(self.name)

    def start(self) -> None:
        """Make a new container of the image, and wait until its builder works."""
        data = self.service.data_dir
        ours = {k: v for k, v in self.service.environment.items() if k.startswith("REPO2HUB_")}
        del ours["REPO2HUB_DATA_DIR"]
        ours["REPO2HUB_DATABASE_URL"] = f"sqlite:///{data}/repo2hub.db"
        more = ["--network host", f"-v {data}:{data}", *(f"-e {name}" for name in ours), self.image]
        command = " ".join([as_the_readme_says(self.name, self.login), *more])
        subprocess.run(
            ["sh", "-c", command], env=os.environ | ours, check=True, stdout=subprocess.PIPE, timeout=120
        )
        give_up_at = time.monotonic() + 60
        while b"worker.started" not in (said := self.container.logs()):
            assert time.monotonic() < give_up_at, said.decode()
            time.sleep(0.1)

    def data_dir(self, copy: Path) -> Path:
        """Return a copy of the builder's data folder, whether its container runs or not."""
        chunks, _ = self.container.get_archive(DATA)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            archive.extractall(copy, filter="tar")
        return copy / Path(DATA).name

    def remove(self) -> None:
        self.container.remove(force=True)
        self.engine.volumes.get(self.name).remove(force=True)


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
    login = tmp_path_factory.mktemp("login")
    (login / "config.json").write_text("{}")
    if os.getuid() == 0:
        for path in (service.data_dir, *service.data_dir.rglob("*"), login, *login.iterdir()):
            os.chown(path, USER, USER)
    contained = Contained(service, registry, engine, builder_image, login)
    contained.start()
    yield contained
    contained.remove()
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


def test_docker_stop_releases_the_running_build_in_time(
    contained: Contained, repository: BareRepository, standstill: Standstill, tmp_path: Path
) -> None:
    service, container = contained.service, contained.container
    build_id = push(contained, repository, standstill.step)
    service.wait_for_log(build_id, "it-stands-still")
    container.stop(timeout=60)
    assert container.wait()["StatusCode"] == 0, container.logs().decode()
    build = service.get(f"builds/{build_id}")
    assert (build["status"], build["attempt"], build["cause"]) == ("queued", 1, None)
    nothing_is_left(service, standstill.process, data_dir=contained.data_dir(tmp_path))
    container.start()
    standstill.go_on()
    build = service.wait_for(build_id)
    assert (build["status"], build["attempt"]) == ("succeeded", 2), service.log(build_id)


def test_the_next_container_keeps_the_caches_of_a_killed_one_and_removes_its_leftovers(
    contained: Contained, tmp_path: Path
) -> None:
    before = contained.data_dir(tmp_path / "before")
    contained.container.kill()
    contained.container.remove()
    contained.start()
    after = contained.data_dir(tmp_path / "after")
    assert (after / "cache.key").read_bytes() == (before / "cache.key").read_bytes()
    (killed,), (living,) = os.listdir(before / "work"), os.listdir(after / "work")
    assert killed != living
