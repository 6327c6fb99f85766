"""Where the engine's build steps are limited, on both versions of control groups."""

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from builder.engine import memory_limit
from builder.errors import InfrastructureError
from builder.main import serve
from builder.settings import BuilderSettings
from db.database import Database
from repo2hub.cli import main
from tests.support.stand_in import Answer, Asked, StandIn


def version_1(cgroups: Path) -> Path:
    (cgroups / "memory" / "docker").mkdir(parents=True)
    return cgroups / "memory" / "docker" / "buildkit" / "memory.limit_in_bytes"


def version_2(cgroups: Path) -> Path:
    (cgroups / "docker").mkdir(parents=True)
    (cgroups / "cgroup.controllers").write_text("memory")
    return cgroups / "docker" / "buildkit" / "memory.max"


@pytest.mark.parametrize(("version", "unlimited"), [(version_1, "-1"), (version_2, "max")])
def test_a_limit_is_set_before_any_build_has_run_and_lifted_again(
    tmp_path: Path, version: object, unlimited: str
) -> None:
    file: Path = version(tmp_path)  # type: ignore[operator]
    memory_limit.limit_build_steps(2**30, tmp_path)
    assert file.read_text() == str(2**30)
    memory_limit.remove_limit(tmp_path)
    assert file.read_text() == unlimited


def test_a_limit_that_cannot_be_enforced_is_an_error_and_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="REPO2HUB_BUILD_MEMORY_LIMIT cannot be enforced"):
        memory_limit.limit_build_steps(2**30, tmp_path)
    memory_limit.remove_limit(tmp_path)
    assert list(tmp_path.iterdir()) == []


class EngineWithDriver(StandIn):
    """The part of an engine's API that returns its cgroup driver."""

    def __init__(self, driver: str) -> None:
        super().__init__()
        self.driver = driver

    def answer(self, asked: Asked) -> Answer:
        is_info = asked.path.endswith("/info")
        return Answer(body={"CgroupDriver": self.driver} if is_info else {"ApiVersion": "1.41"})


@pytest.fixture
def driver() -> str:
    return "cgroupfs"


@pytest.fixture
def cgroups(driver: str, environment: pytest.MonkeyPatch, tmp_path: Path, sqlite_url: str) -> Iterator[Path]:
    """The control groups that the builder sees, beside an engine with that driver."""
    found = memory_limit.build_cgroup
    environment.setattr(memory_limit, "build_cgroup", lambda _cgroups: found(tmp_path / "cgroups"))
    environment.setenv("REPO2HUB_BUILD_MEMORY_LIMIT", "1g")
    environment.setenv("REPO2HUB_DATA_DIR", str(tmp_path / "data"))
    environment.setenv("REPO2HUB_DATABASE_URL", sqlite_url)
    with EngineWithDriver(driver) as engine:
        environment.setenv("DOCKER_HOST", engine.url.replace("http:", "tcp:"))
        yield tmp_path / "cgroups"


def start_and_stop() -> None:
    stop, settings = threading.Event(), BuilderSettings.load()
    stop.set()
    database = Database(settings.database)
    try:
        serve(settings, database, stop, {})
    finally:
        database.dispose()


@pytest.mark.parametrize("driver", ["systemd"])
def test_a_builder_whose_limit_cannot_be_enforced_refuses_to_start(
    cgroups: Path, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(signal, "signal", lambda _number, _handler: None)  # the tests' own stay as they are
    refused = CliRunner().invoke(main, ["builder"])
    assert (refused.exit_code, refused.stderr.partition(" ")[0]) == (1, "REPO2HUB_BUILD_MEMORY_LIMIT")
    assert len(refused.stderr.splitlines()) == 1


def test_a_cgroup_that_cannot_be_written_is_an_error_whatever_driver_the_engine_has(cgroups: Path) -> None:
    version_1(cgroups).mkdir(parents=True)
    with pytest.raises(InfrastructureError, match="cannot be enforced"):
        start_and_stop()


@pytest.mark.parametrize("version", [version_1, version_2])
def test_the_limit_is_set_when_the_builder_starts(cgroups: Path, version: Callable[[Path], Path]) -> None:
    file = version(cgroups)
    start_and_stop()
    assert file.read_text() == str(2**30)


def test_a_builder_starts_while_its_engine_has_no_cgroup_yet(cgroups: Path) -> None:
    with capture_logs() as logged:
        start_and_stop()
    assert "worker.memory_not_limited_yet" in [one["event"] for one in logged]


def test_an_engine_that_is_away_stops_no_builder(cgroups: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with capture_logs() as logged:
        start_and_stop()
    assert "worker.memory_not_limited_yet" in [one["event"] for one in logged]
