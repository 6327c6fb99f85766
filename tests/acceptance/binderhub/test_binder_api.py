"""BinderHub's build API with nothing stood in for: its npm client, our processes, a builder, an engine."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import docker
import pytest
import requests

from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.acceptance.standstill import Standstill
from tests.support.npm_client import VERSIONS, Client
from tests.support.registry import Registry
from tests.support.service import Service

pytestmark = pytest.mark.engine

Start = Callable[..., Service]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """A git server that is not GitHub."""
    with GitServer(tmp_path_factory.mktemp("elsewhere")) as server:
        yield server


@pytest.fixture(scope="module")
def service(start_service: Start, elsewhere: GitServer) -> Service:
    return start_service(GIT_HOSTS=elsewhere.url)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_repository_never_seen_is_built_and_its_image_runs(
    service: Service, repository: BareRepository, engine: docker.DockerClient, version: str
) -> None:
    repository.commit(service.dockerfile("echo hello > /word"))
    events = Client(service.url, version, f"gh/{repository.full_name}/main").ended()
    assert events[-1]["phase"] == "ready", events
    assert events[0]["phase"] == "waiting"
    log = "".join(event["message"] for event in events)
    assert "[repo2hub] attempt 1: fetching" in log and "FROM" in log
    output = engine.containers.run(events[-1]["imageName"], ["cat", "/word"], remove=True)
    assert output == b"hello\n"
    (again,) = Client(service.url, version, f"gh/{repository.full_name}/main").ended()
    assert again["imageName"] == events[-1]["imageName"] and again["cached"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_failing_build_is_reported_with_its_log_and_not_repeated(
    service: Service, repository: BareRepository, version: str
) -> None:
    repository.commit(service.dockerfile("echo before-the-end && false"))
    first = Client(service.url, version, f"gh/{repository.full_name}/main").ended()
    assert first[-1]["phase"] == "failed"
    assert "before-the-end" in "".join(event["message"] for event in first)
    second = Client(service.url, version, f"gh/{repository.full_name}/main").ended()
    assert second[-1] == first[-1]
    assert "before-the-end" in "".join(event["message"] for event in second)
    assert len(service.get(f"builds?repository={repository.full_name}")["builds"]) == 1


def test_two_clients_share_a_build_and_one_that_leaves_does_not_stop_it(
    service: Service, repository: BareRepository, standstill: Standstill
) -> None:
    repository.commit(
        service.dockerfile(f"echo line-1; {standstill.step}; for i in 2 3 4 5; do echo line-$i; done")
    )
    spec = f"gh/{repository.full_name}/main"
    leaving, staying = Client(service.url, "0.4", spec), Client(service.url, "0.5", spec)
    leaving.until("line-1")
    leaving.kill()
    late = Client(service.url, "0.5", spec)
    late.until("it-stands-still")
    standstill.go_on()
    logs = []
    for client in (staying, late):
        events = client.ended()
        assert events[-1]["phase"] == "ready", events
        logs.append(
            "".join(event["message"] for event in events if event["phase"] not in ("waiting", "ready"))
        )
    assert logs[0] == logs[1]
    assert [f"line-{number}" in logs[1] for number in range(1, 6)] == [True] * 5
    assert len(service.get(f"builds?repository={repository.full_name}")["builds"]) == 1


def test_a_client_behind_another_build_is_told_what_it_waits_for(
    service: Service, github: GitServer, repository: BareRepository, standstill: Standstill
) -> None:
    repository.commit(service.dockerfile(standstill.step))
    slow = Client(service.url, "0.5", f"gh/{repository.full_name}/main")
    slow.until("FROM")
    other = github.create(f"{repository.full_name}-behind")
    other.commit(service.dockerfile("true"))
    behind = Client(service.url, "0.5", f"gh/{other.full_name}/main")
    behind.until("next in the queue; now running: ")
    standstill.go_on()
    for client in (slow, behind):
        assert client.ended()[-1]["phase"] == "ready"


def test_a_repository_of_another_git_server_is_built(
    service: Service, elsewhere: GitServer, engine: docker.DockerClient
) -> None:
    repository = elsewhere.create("Group/Project")
    repository.commit(service.dockerfile("echo elsewhere > /word"))
    spec = f"git/{quote(repository.url, safe='')}/{quote('refs/heads/main', safe='')}"
    last = Client(service.url, "0.5", spec).ended()[-1]
    assert last["phase"] == "ready", last
    assert "/git__elsewhere/" in last["imageName"]
    assert engine.containers.run(last["imageName"], ["cat", "/word"], remove=True) == b"elsewhere\n"


SMALL = {"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"}  # quickly pushed


def test_a_registry_that_is_away_is_reported_and_what_was_pushed_is_still_served(
    start_service: Start, github: GitServer, repository: BareRepository, tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "registry")
    registry.start()
    service = start_service(REGISTRY_URL=registry.url)
    repository.commit(SMALL)
    spec = f"gh/{repository.full_name}/main"
    name = Client(service.url, "0.5", spec).ended()[-1]["imageName"]
    registry.stop()
    (again,) = Client(service.url, "0.5", spec).ended()
    assert again["imageName"] == name
    other = github.create(f"{repository.full_name}-second")
    other.commit(SMALL)
    waiting = Client(service.url, "0.5", f"gh/{other.full_name}/main")
    event = waiting.until("Retrying automatically")
    assert event["phase"] == "waiting" and "registry" in event["message"].lower()
    waiting.kill()
    assert requests.post(f"{service.url}/api/v1/builds/{event['build_id']}/cancel", json={}, timeout=30).ok
