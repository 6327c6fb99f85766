"""The contract of `builder.engine.registry.Registry`, held against every implementation with a stand-in engine."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.child_process import StopSignal
from builder.engine.docker_client import LocalImage
from builder.engine.docker_registry import DockerRegistry
from builder.engine.docker_subprocess import DockerSubprocess
from builder.engine.local_registry import LocalRegistry
from builder.engine.registry import Registry
from builder.errors import InfrastructureError, Stopped, StopReason
from tests.support.stand_in import Answer, Asked, StandIn

pytestmark = pytest.mark.slow

IMAGE = LocalImage("sha256:" + "1" * 64, 4711)
NAME = "registry.example/org/repo:1"
DIGEST = "sha256:" + "2" * 64
REGISTRIES: list[Callable[[], Registry]] = [LocalRegistry, DockerRegistry]


class Engine(StandIn):
    """An engine with a prepared answer to a push."""

    pushed = Answer(body={"aux": {"Tag": "1", "Digest": DIGEST, "Size": 1}})
    stopped: StopSignal | None = None
    """Set when a push arrives."""

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/version":
            return Answer(body={"ApiVersion": "1.41"})
        if self.stopped is not None:
            self.stopped.set(StopReason.CANCELLED)
        return self.pushed


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def child(engine: Engine, tmp_path: Path, log: list[str]) -> DockerSubprocess:
    environ = {**os.environ, "DOCKER_HOST": engine.url.replace("http", "tcp"), "REPO2HUB_SECRET": "x"}
    return DockerSubprocess(environ, tmp_path, log.append, StopSignal(), timeout=60)


@pytest.fixture(params=REGISTRIES, ids=lambda made: made.__name__)
def registry(request: pytest.FixtureRequest) -> Registry:
    made: Registry = request.param()
    return made


def test_publishing_returns_a_digest(registry: Registry, child: DockerSubprocess) -> None:
    digest = registry.publish(IMAGE, NAME, registry.with_login(child))
    assert digest == (DIGEST if registry.is_remote else IMAGE.id)


def test_only_a_remote_registry_asks_the_engine_and_writes_to_the_log(
    registry: Registry, child: DockerSubprocess, engine: Engine, log: list[str]
) -> None:
    registry.publish(IMAGE, NAME, child)
    assert any("/push" in asked.path for asked in engine.asked) == registry.is_remote
    assert bool(log) == registry.is_remote


def test_a_login_changes_neither_the_log_nor_the_limits_of_a_child(
    registry: Registry, child: DockerSubprocess
) -> None:
    with_login = registry.with_login(child)
    assert (with_login.write, with_login.stop, with_login.timeout) == (child.write, child.stop, child.timeout)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("denied: requested access to the resource is denied", "registry_denied"),
        ("no basic auth credentials", "registry_denied"),
        ("write /x: no space left on device", "no_space"),
        ("received unexpected HTTP status: 503", "registry_unavailable"),
    ],
)
def test_a_push_that_fails_names_the_cause(
    child: DockerSubprocess, engine: Engine, log: list[str], error: str, cause: str
) -> None:
    engine.pushed = Answer(body={"error": error})
    with pytest.raises(InfrastructureError) as raised:
        DockerRegistry().publish(IMAGE, NAME, child)
    assert raised.value.cause == cause
    assert log == [f"[repo2hub] pushing {NAME}", f"[repo2hub] push failed: {error}"]


def test_a_push_without_a_digest_is_an_error(child: DockerSubprocess, engine: Engine) -> None:
    engine.pushed = Answer(body={"status": "done"})
    with pytest.raises(InfrastructureError, match="without a digest"):
        DockerRegistry().publish(IMAGE, NAME, child)


def test_a_push_can_be_stopped(child: DockerSubprocess, engine: Engine) -> None:
    engine.pushed, engine.stopped = Answer(hangs=True), child.stop
    with pytest.raises(Stopped):
        DockerRegistry().publish(IMAGE, NAME, child)
