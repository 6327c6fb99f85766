"""A child process that asks an engine for something, and an engine that takes too long."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.child_process import StopSignal
from builder.engine import base_image, docker_registry
from builder.engine.docker_subprocess import DockerSubprocess
from builder.errors import InfrastructureError
from tests.support.stand_in import Answer, Asked, StandIn

pytestmark = pytest.mark.slow


class SlowEngine(StandIn):
    """An engine that answers what it is, and nothing else."""

    def answer(self, asked: Asked) -> Answer:
        return Answer(body={"ApiVersion": "1.41"}) if asked.path == "/version" else Answer(hangs=True)


@pytest.mark.parametrize(
    ("module", "arguments", "error_for", "cause"),
    [
        (
            "builder.engine.docker_registry",
            ("org/image:1",),
            docker_registry.push_error,
            "registry_unavailable",
        ),
        ("builder.engine.base_image", ("org/base:1", ""), base_image.unusable_error, "base_image_unusable"),
    ],
)
def test_a_slow_registry_is_an_infrastructure_error(
    tmp_path: Path,
    module: str,
    arguments: tuple[str, ...],
    error_for: Callable[[str], InfrastructureError],
    cause: str,
) -> None:
    with (
        SlowEngine() as engine,
        pytest.raises(InfrastructureError, match=r"longer than 3 s \(REPO2HUB_BUILD_TIMEOUT\)") as raised,
    ):
        child = DockerSubprocess(
            {**os.environ, "DOCKER_HOST": engine.url.replace("http", "tcp")},
            tmp_path,
            write=lambda _: None,
            stop=StopSignal(),
            timeout=3,
        )
        child.run(module, *arguments, error_for=error_for)
    assert raised.value.cause == cause
