"""The base image where there is no engine to ask: what is asked of a real one is in tests/acceptance."""

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from builder import base_image
from builder.errors import InfrastructureError


@pytest.fixture
def gone() -> Iterator[docker.DockerClient]:
    """An engine that went away after the connection was made."""
    client = docker.DockerClient(base_url="tcp://127.0.0.1:9", version="1.41")
    yield client
    client.close()


def test_an_engine_that_went_away_is_no_fault_of_the_base_image(
    gone: docker.DockerClient, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----")
    with pytest.raises(InfrastructureError) as asked:
        base_image.python_version(gone, "any:1")
    with pytest.raises(InfrastructureError) as resolved:
        base_image.resolve(gone, "any:1", bundle)
    assert (asked.value.cause, resolved.value.cause) == ("engine_unavailable", "engine_unavailable")
