"""BinderHub's own npm client, 0.5.0 and 0.4.0, under node against a web process that really runs.

The tests write the builder's records; a real builder is in `tests/acceptance/binderhub/test_binder_api.py`.
"""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from db.database import Database
from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.support.npm_client import VERSIONS, Client
from tests.support.service import Service
from tests.webhook.records import Records
from webhook.settings import WebSettings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("github")) as server:
        yield server


@pytest.fixture
def remote_repository(github: GitServer) -> BareRepository:
    """A repository of the test's own, with one commit that no push told of."""
    repository = github.create(f"Org/repo-{uuid.uuid4().hex[:8]}")
    repository.commit({"README.md": "hello"})
    return repository


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, github: GitServer) -> Iterator[Service]:
    """A web process without a builder; each test ends the builds that it requests."""
    service = Service(tmp_path_factory.mktemp("service"), github.url, "none", {"LOG_FORMAT": "json"})
    migrated = service.run("db", "upgrade")
    assert migrated.returncode == 0, migrated.stderr
    service.start("web")
    service.wait_until_up()
    yield service
    service.stop_all()


@pytest.fixture
def records(service: Service) -> Iterator[Records]:
    """What the service's builder would write."""
    database = Database(f"sqlite:///{service.data_dir / 'repo2hub.db'}")
    settings = WebSettings(base_image=service.base_image, buildpacks=("uv", "standard"))
    yield Records(database, settings, lambda: datetime.now(UTC))
    database.dispose()


@pytest.fixture
def run(service: Service, remote_repository: BareRepository) -> Iterator[Callable[..., Client]]:
    """Start a client, which asks for the main branch of the test's repository unless `spec` says otherwise."""
    started: list[Client] = []

    def start(version: str, *options: str, spec: str = "") -> Client:
        spec = spec or f"gh/{remote_repository.full_name}/main"
        started.append(Client(service.url, version, spec, *options))
        return started[-1]

    yield start
    for client in started:
        client.kill()


Run = Callable[..., Client]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_build_is_followed_to_its_image(
    run: Run, records: Records, remote_repository: BareRepository, version: str
) -> None:
    client = run(version)
    build: int = client.until("Waiting for a builder")["build_id"]
    lease = records.claim(build)
    records.write(lease, "Step 1 \N{SNOWMAN}\n", "\x1b[32mStep 2\x1b[0m\n")
    assert client.until("Step 1")["message"] == "Step 1 \N{SNOWMAN}\n"
    name = records.finish(lease)
    assert client.ended()[-1]["imageName"] == name
    assert run(version).ended() == [
        {
            "phase": "ready",
            "message": "Done! Found built image\n",
            "commit": remote_repository.head(),
            "ref": "refs/heads/main",
            "cached": True,
            "imageName": name,
        }
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_failure_is_reported_with_its_reason(
    run: Run, records: Records, remote_repository: BareRepository, version: str
) -> None:
    client = run(version)
    build: int = client.until("Waiting for a builder")["build_id"]
    records.fail(build, "No package nunpy.", log=["Step 1\n"])
    *before, last = client.ended()
    assert (last["phase"], last["message"], last["build_id"]) == ("failed", "No package nunpy.\n", build)
    assert before[-1]["message"] == "Step 1\n"


@pytest.mark.parametrize("version", VERSIONS)
def test_an_invalid_request_is_answered_with_a_message(run: Run, service: Service, version: str) -> None:
    (event,) = run(version, spec="gl/org%2Frepo/main").ended()
    assert event["phase"] == "failed" and event["status_code"] == 400
    assert "gh/<org>/<repo>/<ref>" in event["message"]


def test_a_page_that_connects_again_after_a_failure_builds_nothing(
    run: Run, service: Service, records: Records, remote_repository: BareRepository
) -> None:
    client = run("0.4", "--stay=4000")
    build: int = client.until("Waiting for a builder")["build_id"]
    records.fail(build)
    client.ended()
    again = run("0.4").ended()
    assert again[-1] == client.events[-1]
    listed = service.get(f"builds?repository={remote_repository.full_name}")["builds"]
    assert [one["id"] for one in listed] == [build]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_waiting_client_is_told_its_position_as_it_changes(
    run: Run, records: Records, remote_repository: BareRepository, version: str
) -> None:
    first = run(version, spec=f"gh/{remote_repository.full_name}/{'a' * 40}")
    running: int = first.until("Waiting")["build_id"]
    second = run(version, spec=f"gh/{remote_repository.full_name}/{'b' * 40}")
    assert second.until("position 2 in the queue")["queue_position"] == 2
    lease = records.claim(running)
    next_one = second.until("now running")
    assert next_one["queue_position"] == 1 and "next in the queue" in next_one["message"]
    records.finish(lease)
    assert first.ended()[-1]["phase"] == "ready"
    records.fail(next_one["build_id"])
    assert [event.get("queue_position") for event in second.ended()] == [2, 1, None]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_leaves_stops_nothing_and_gets_the_whole_log_when_it_comes_back(
    run: Run, service: Service, records: Records, remote_repository: BareRepository, version: str
) -> None:
    leaving = run(version, "--leave")
    staying = run(version, spec=f"gh/{remote_repository.full_name.upper()}/main")
    build: int = leaving.until("Waiting")["build_id"]
    assert staying.until("Waiting")["build_id"] == build
    lease = records.claim(build)
    records.write(lease, "one\n", "two\n")
    staying.until("two")
    leaving.ended()
    staying.kill()
    assert service.get(f"builds/{build}")["status"] == "running"
    back = run(version)
    back.until("two")
    records.write(lease, "three\n")
    records.finish(lease)
    log = [event["message"] for event in back.ended() if event["phase"] == "fetching"]
    assert log == ["one\n", "two\n", "three\n"]
