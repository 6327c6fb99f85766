"""What acceptance tests share: a GitHub stand-in, a registry, the service's processes, the engine, a browser."""

import os
import uuid
from collections.abc import Callable, Iterator

import docker
import pytest
from playwright.sync_api import Browser

from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.acceptance.standstill import Standstill
from tests.support.browser import chromium
from tests.support.images import make_base_image, remove_images
from tests.support.registry import Registry
from tests.support.service import Service


@pytest.fixture(scope="session")
def base_image() -> str:
    """An image to build on: REPO2HUB_BASE_IMAGE, or the one that `machine/base-image` makes."""
    return os.environ.get("REPO2HUB_BASE_IMAGE") or make_base_image()


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=120)
    client.ping()
    yield client
    client.close()


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """GitHub's git side: `git http-backend` over bare repositories."""
    with GitServer(tmp_path_factory.mktemp("github")) as server:
        yield server


@pytest.fixture
def repository(github: GitServer) -> BareRepository:
    """A new, empty repository with a name of its own."""
    return github.create(f"Org/repo-{uuid.uuid4().hex[:8]}")


Start = Callable[..., Service]


@pytest.fixture(scope="module")
def start_service(
    tmp_path_factory: pytest.TempPathFactory,
    github: GitServer,
    base_image: str,
    engine: docker.DockerClient,
) -> Iterator[Start]:
    """Start web and builder with given settings; they are stopped, and their images removed, at the end."""
    started: list[Service] = []

    def start(environ: dict[str, str] | None = None, **settings: str) -> Service:
        data_dir = tmp_path_factory.mktemp("service")
        prefix = f"r2htest-{uuid.uuid4().hex[:8]}/"
        ours = {"IMAGE_PREFIX": prefix, **settings}
        service = Service(data_dir, github.url, base_image, ours, environ or {})
        started.append(service)
        service.start_all()
        return service

    yield start
    for service in started:
        service.stop_all()
        remove_images(engine, service.settings["IMAGE_PREFIX"])


@pytest.fixture(scope="module")
def service(start_service: Start) -> Service:
    """The service with its default settings and the uv buildpack."""
    return start_service()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A running registry that anybody may push to: one for all, so that the base image is pushed once."""
    registry = Registry(tmp_path_factory.mktemp("registry"))
    registry.start()
    yield registry
    registry.stop()


@pytest.fixture
def standstill(engine: docker.DockerClient, base_image: str) -> Standstill:
    """A build's step that lasts until the test lets it go on."""
    return Standstill(engine, base_image)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser
