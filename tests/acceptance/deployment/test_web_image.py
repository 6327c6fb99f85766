"""Dockerfile.web, built and used: the web application in a container, as another user than root."""

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
import requests
from docker.models.containers import Container

from demo.github.bare_repository import BareRepository
from tests.conftest import ROOT
from tests.support.service import SECRET, Service

pytestmark = pytest.mark.engine

TOKEN = "token-of-a-script"
USER = 1000
ASK = "import requests; requests.get('http://127.0.0.1:8585/health', timeout=5).raise_for_status()"


@pytest.fixture(scope="module")
def web_image(engine: docker.DockerClient, base_image: str) -> Iterator[str]:
    """The image, built as its file says."""
    name = f"r2htest/web:{uuid.uuid4().hex[:8]}"
    command = ["docker", "buildx", "build", "--file=Dockerfile.web", f"--build-arg=BASE_IMAGE={base_image}"]
    built = subprocess.run(
        [*command, f"--tag={name}", "."], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert built.returncode == 0, built.stderr
    yield name
    engine.images.remove(name, force=True)


@pytest.fixture(scope="module")
def service(start_service: Callable[..., Service]) -> Service:
    """A service whose web process makes room for the container, on the same data and the same port."""
    service = start_service(AUTH="token", API_TOKENS=TOKEN)
    service.token = TOKEN
    service.stop("web")
    return service


@pytest.fixture(scope="module")
def container(
    engine: docker.DockerClient, web_image: str, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Container]:
    if os.getuid() == 0:
        for path in (service.data_dir, *service.data_dir.rglob("*")):
            os.chown(path, USER, USER)
    ours = {name: value for name, value in service.environment.items() if name.startswith("REPO2HUB_")}
    container = engine.containers.run(
        web_image,
        detach=True,
        init=True,
        network_mode="host",
        user=str(os.getuid() or USER),
        read_only=True,
        tmpfs={"/tmp": "", "/var/lib/repo2hub": "mode=1777"},
        environment=ours,
        volumes=[f"{service.data_dir}:{service.data_dir}"],
    )
    service.wait_until_up()
    yield container
    container.remove(force=True)


def test_the_web_application_in_a_container_handles_a_push_and_finds_its_image(
    service: Service, container: Container, repository: BareRepository
) -> None:
    commit = repository.commit(service.dockerfile("true"))
    build = service.wait_for(service.push(repository.full_name, commit)["build"])
    assert build["status"] == "succeeded", service.log(build["id"])
    assert service.image(repository.full_name, "main")["commit"] == commit
    asked = requests.get(f"{service.url}/api/v1/builds", timeout=30)
    assert asked.status_code == 401


def test_a_ref_that_was_never_pushed_is_resolved_with_the_git_of_the_image(
    service: Service, container: Container, repository: BareRepository
) -> None:
    commit = repository.commit(service.dockerfile("true"), branch="elsewhere")
    found = service.image(repository.full_name, "elsewhere")
    assert (found["state"], found["commit"]) == ("none", commit)


def test_it_is_not_root_and_has_what_serves_but_nothing_that_builds(container: Container) -> None:
    assert container.exec_run(["id", "-u"]).output.strip() != b"0"
    builds = container.exec_run(["sh", "-c", "command -v docker || command -v jupyter-repo2docker"])
    assert builds.exit_code != 0, builds.output
    serves = container.exec_run(["python3", "-c", "import flask, uvicorn, jupyterhub.services.auth, psycopg"])
    assert serves.exit_code == 0, serves.output


def test_it_migrates_the_database_serves_and_stops_on_sigterm(
    engine: docker.DockerClient, web_image: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    environment = {
        "REPO2HUB_DATABASE_URL": "sqlite:////data/repo2hub.db",
        "REPO2HUB_WEBHOOK_SECRETS": SECRET,
        "REPO2HUB_AUTH": "token",
        "REPO2HUB_API_TOKENS": TOKEN,
    }
    volumes = [f"{tmp_path}:/data"]
    engine.containers.run(web_image, ["db", "upgrade"], remove=True, environment=environment, volumes=volumes)
    web = engine.containers.run(web_image, detach=True, environment=environment, volumes=volumes)
    try:
        deadline = time.monotonic() + 120
        while web.exec_run(["python3", "-c", ASK]).exit_code != 0:
            assert time.monotonic() < deadline, web.logs()
        web.stop(timeout=60)
        assert web.wait()["StatusCode"] == 0, web.logs()
    finally:
        web.remove(force=True)
