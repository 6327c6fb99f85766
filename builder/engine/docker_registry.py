"""Push images to a registry with the builder's own docker login, in a child process (see `docker_subprocess`)."""

import sys
import time

import docker
from docker.errors import APIError

from builder.engine import docker_subprocess
from builder.engine.docker_client import LocalImage
from builder.engine.docker_subprocess import DockerSubprocess, emit
from builder.engine.layer_progress import LayerProgress
from builder.errors import InfrastructureError, no_space_error

_DENIED = ("denied", "unauthorized", "no basic auth", "authentication required", "forbidden")


class DockerRegistry:
    """Any registry that `docker login` works with."""

    is_remote = True

    def with_login(self, child: DockerSubprocess) -> DockerSubprocess:
        """Return the child unchanged: docker's configuration in the builder's environment has the login."""
        return child

    def publish(self, image: LocalImage, name: str, child: DockerSubprocess) -> str:
        """Push the image and return the digest of its manifest."""
        child.write(f"[repo2hub] pushing {name}")
        result = child.run(__name__, name, error_for=push_error)
        if "digest" not in result:
            raise push_error("the push ended without a digest")
        return str(result["digest"])


def push_error(error: str) -> InfrastructureError:
    """Return the error for what the engine reported of a push."""
    lower = error.lower()
    if any(word in lower for word in _DENIED):
        return InfrastructureError(
            "registry_denied",
            "The registry denied the push. Log in on the builder with an account that may push: docker login",
        )
    if "no space left" in lower:
        return no_space_error("The registry or the builder")
    return InfrastructureError(
        "registry_unavailable", f"The image was built but could not be pushed to the registry: {error[:300]}"
    )


def push(client: docker.DockerClient, name: str) -> None:
    """Push `name`; emit progress and the manifest's `digest`. Raises InfrastructureError."""
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
    emit(text=f"[repo2hub] push failed: {error}")
    return push_error(error)


if __name__ == "__main__":
    sys.exit(docker_subprocess.run_with_client(lambda client: push(client, sys.argv[1])))
