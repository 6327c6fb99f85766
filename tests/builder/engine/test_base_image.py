"""The base image where the engine answers late or not at all; what a real one is asked is in tests/acceptance."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from builder.child_process import StopSignal
from builder.engine import base_image
from builder.engine.docker_subprocess import DockerSubprocess
from builder.errors import InfrastructureError, Stopped, StopReason
from tests.support.stand_in import Answer, Asked, StandIn


@pytest.fixture
def gone() -> Iterator[docker.DockerClient]:
    """An engine that went away after the connection was made."""
    client = docker.DockerClient(base_url="tcp://127.0.0.1:9", version="1.41")
    yield client
    client.close()


@pytest.mark.parametrize("what", [base_image.find_prepared, base_image.prepare])
@pytest.mark.parametrize("trusts", [True, False])
def test_an_engine_that_stops_responding_is_not_an_unusable_base_image(
    gone: docker.DockerClient, tmp_path: Path, what: Any, trusts: bool
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----")
    with pytest.raises(InfrastructureError) as raised:
        what(gone, "any:1", bundle if trusts else None)
    assert raised.value.cause == "engine_unavailable"


class Engine(StandIn):
    """An engine without images, with a prepared answer to a pull."""

    def __init__(self, pull: Answer, stop: StopSignal) -> None:
        super().__init__()
        self._pull = pull
        self._stop = stop

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/version":
            return Answer(body={"ApiVersion": "1.41"})
        if asked.method == "GET":
            return Answer(404, {"message": "no such image"})
        if self._pull.hangs:
            self._stop.set(StopReason.CANCELLED)
        return self._pull


def make(folder: Path, pull: Answer, log: list[str]) -> None:
    """Let a child process make a base image."""
    stop = StopSignal()
    with Engine(pull, stop) as engine:
        child = DockerSubprocess(
            {**os.environ, "DOCKER_HOST": engine.url.replace("http", "tcp")},
            folder,
            write=log.append,
            stop=stop,
            timeout=60,
        )
        base_image.prepare_in_child(child, "org/base:1", None)


@pytest.mark.slow
def test_a_build_can_be_stopped_while_its_base_image_is_pulled(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        make(tmp_path, Answer(hangs=True), [])


@pytest.mark.slow
def test_a_failed_pull_quotes_the_registry(tmp_path: Path) -> None:
    log: list[str] = []
    with pytest.raises(InfrastructureError, match="cannot pull org/base:1: manifest unknown") as raised:
        make(tmp_path, Answer(body={"error": "manifest unknown"}), log)
    assert log == ["[repo2hub] pulling base image org/base:1"]
    assert raised.value.cause == "base_image_unusable"
