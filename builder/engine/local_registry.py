"""No registry: hubs start images from the same container engine that builds them."""

from builder.engine.docker_client import LocalImage
from builder.engine.docker_subprocess import DockerSubprocess


class LocalRegistry:
    """Leaves images where they were built."""

    is_remote = False

    def with_login(self, child: DockerSubprocess) -> DockerSubprocess:
        """Return the child unchanged: the builder's own docker login serves for private base images."""
        return child

    def publish(self, image: LocalImage, name: str, child: DockerSubprocess) -> str:
        """Return the image's id: the image already has its name."""
        return image.id
