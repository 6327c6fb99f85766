"""BinderHub's own npm client, 0.5.0 and 0.4.0, under node against a web process that really runs.

Of the builder only the records are played here; the real one is in `tests/acceptance/binderhub/test_binder_api.py`.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from db.database import Database
from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.support.npm_client import VERSIONS, Client
from tests.support.service import Service
from tests.webhook.records import Records
from webhook.settings import WebSettings

pytestmark = pytest.mark.slow


@pytest.fixture
def service(tmp_path: Path, github: GitServer) -> Iterator[Service]:
    """A web process on a data folder of its own; nothing builds."""
    service = Service(tmp_path / "service", github.url, "none", {"LOG_FORMAT": "json"})
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
def run(service: Service) -> Iterator[Callable[..., Client]]:
    started: list[Client] = []

    def start(version: str, spec: str = "gh/org/repo/main", *options: str) -> Client:
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
def test_a_failure_is_told_with_its_reason(
    run: Run, records: Records, remote_repository: BareRepository, version: str
) -> None:
    client = run(version)
    build: int = client.until("Waiting for a builder")["build_id"]
    records.fail(build, "No package nunpy.", log=["Step 1\n"])
    *before, last = client.ended()
    assert (last["phase"], last["message"], last["build_id"]) == ("failed", "No package nunpy.\n", build)
    assert before[-1]["message"] == "Step 1\n"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_request_that_cannot_be_answered_is_told_in_words(run: Run, service: Service, version: str) -> None:
    (event,) = run(version, "gl/org%2Frepo/main").ended()
    assert event["phase"] == "failed" and event["status_code"] == 400
    assert "gh/<org>/<repo>/<ref>" in event["message"]


def test_a_page_that_connects_again_after_a_failure_builds_nothing(
    run: Run, service: Service, records: Records, remote_repository: BareRepository
) -> None:
    client = run("0.4", "gh/org/repo/main", "--stay=4000")
    build: int = client.until("Waiting for a builder")["build_id"]
    records.fail(build)
    client.ended()
    again = run("0.4").ended()
    assert again[-1] == client.events[-1]
    assert [one["id"] for one in service.get("builds")["builds"]] == [build]


@pytest.mark.parametrize("version", VERSIONS)
def test_who_waits_is_told_its_place_as_it_changes(run: Run, records: Records, version: str) -> None:
    first = run(version, f"gh/org/repo/{'a' * 40}")
    running: int = first.until("Waiting")["build_id"]
    second = run(version, f"gh/org/repo/{'b' * 40}")
    assert second.until("number 2 in the queue")["queue_position"] == 2
    lease = records.claim(running)
    next_one = second.until("running now")
    assert next_one["queue_position"] == 1 and "next in the queue" in next_one["message"]
    records.finish(lease)
    assert first.ended()[-1]["phase"] == "ready"
    records.fail(next_one["build_id"])
    assert [event.get("queue_position") for event in second.ended()] == [2, 1, None]


@pytest.mark.parametrize("version", VERSIONS)
def test_who_leaves_stops_nothing_and_who_comes_back_gets_the_whole_log(
    run: Run, service: Service, records: Records, remote_repository: BareRepository, version: str
) -> None:
    leaving, staying = run(version, "gh/org/repo/main", "--leave"), run(version, "gh/Org/REPO/main")
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
