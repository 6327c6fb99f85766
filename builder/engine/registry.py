"""Pushing an image to the registry, as a child process of its own (see `engine_child`)."""

import sys
import time

import docker
from docker.errors import APIError

from builder.engine import docker_subprocess
from builder.engine.docker_subprocess import emit
from builder.engine.layer_progress import LayerProgress
from builder.errors import InfrastructureError


def error_for(error: str) -> InfrastructureError:
    """Return the error to raise for what the engine said of the registry."""
    lower = error.lower()
    denied = ("denied", "unauthorized", "no basic auth", "authentication required", "forbidden")
    if any(word in lower for word in denied):
        return InfrastructureError(
            "registry_denied",
            "The registry refused the image: the builder's login is missing or may not push there. "
            "An admin can mend it with docker login on the builder.",
        )
    if "no space left" in lower:
        return InfrastructureError(
            "no_space", "There is no space left in the registry or on the builder; an admin has to free some."
        )
    return InfrastructureError(
        "registry_unavailable", f"The image was built, but the registry did not take it: {error[:300]}"
    )


def push(client: docker.DockerClient, name: str) -> None:
    """Push `name`, saying how far it is and, in the end, the manifest's `digest`; or raise InfrastructureError."""
    repository, _, tag = name.rpartition(":")
    progress = LayerProgress()
    try:
        for event in client.api.push(repository, tag=tag, stream=True, decode=True):
            if event.get("error"):  # docker-py does not raise for it
                raise _logged_push_error(str(event["error"]))
            if event.get("aux", {}).get("Digest"):
                emit(digest=event["aux"]["Digest"])
            line = progress.add(event, time.monotonic())
            if line is not None:
                emit(text=line)
    except APIError as exc:
        raise _logged_push_error(str(exc)) from exc


def _logged_push_error(error: str) -> InfrastructureError:
    emit(text=f"[repo2hub] not pushed: {error}")
    return error_for(error)


if __name__ == "__main__":
    sys.exit(docker_subprocess.run_with_client(lambda client: push(client, sys.argv[1])))
