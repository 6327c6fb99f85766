"""A child process that asks an engine for something, and an engine that takes too long."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from builder import base_image, engine_child, registry
from builder.child import StopSignal
from builder.errors import InfrastructureError
from tests.stand_in import Answer, Asked, StandIn

pytestmark = pytest.mark.slow


class SlowEngine(StandIn):
    """An engine that answers what it is, and nothing else."""

    def answer(self, asked: Asked) -> Answer:
        return Answer(body={"ApiVersion": "1.41"}) if asked.path == "/version" else Answer(hangs=True)


@pytest.mark.parametrize(
    ("module", "arguments", "failure", "cause"),
    [
        ("builder.registry", ("org/image:1",), registry.failure, "registry_unavailable"),
        ("builder.base_image", ("org/base:1", ""), base_image.unusable, "base_image_unusable"),
    ],
)
def test_a_registry_that_takes_too_long_is_no_commits_fault(
    tmp_path: Path,
    module: str,
    arguments: tuple[str, ...],
    failure: Callable[[str], InfrastructureError],
    cause: str,
) -> None:
    with (
        SlowEngine() as engine,
        pytest.raises(InfrastructureError, match=r"longer than 3 s \(REPO2HUB_BUILD_TIMEOUT\)") as raised,
    ):
        engine_child.run(
            module,
            *arguments,
            environ={**os.environ, "DOCKER_HOST": engine.url.replace("http", "tcp")},
            cwd=tmp_path,
            write=lambda _: None,
            stop=StopSignal(),
            limit=3,
            failure=failure,
        )
    assert raised.value.cause == cause
