"""The seam through which a finished image reaches the hubs.

Implementations: `local_registry` (hubs use this machine's engine) and `docker_registry` (any registry that
`docker login` works with). Image names do not belong here: web processes build them too (`base.image_names`).
"""

from typing import Protocol

from builder.engine.docker_client import LocalImage
from builder.engine.docker_subprocess import DockerSubprocess


class Registry(Protocol):
    """Publishes images."""

    @property
    def is_remote(self) -> bool:
        """Whether `publish` transfers the image, which can take minutes."""

    def with_login(self, child: DockerSubprocess) -> DockerSubprocess:
        """Return the child process with the credentials that it needs to pull from and push to this registry."""

    def publish(self, image: LocalImage, name: str, child: DockerSubprocess) -> str:
        """Make the engine's image available under `name` and return its digest.

        `child` runs what takes long. Raises InfrastructureError or Stopped.
        """
