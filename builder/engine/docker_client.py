"""Talk to the local container engine through the docker SDK: images, containers and the build cache."""

from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from requests.exceptions import RequestException

from builder.errors import ENGINE_UNAVAILABLE, InfrastructureError

_TIMEOUT = 60  # seconds for one answer of the engine
_REPLACED_MARK = ".replaced-repo2hub-"


@dataclass(frozen=True)
class LocalImage:
    """An image in the engine: its id (`sha256:…`) and its size in bytes."""

    id: str
    size: int


class Engine:
    """A connection to the container engine at DOCKER_HOST, else at the local socket.

    Every method raises InfrastructureError with cause `engine_unavailable` if the engine does not answer.
    """

    def __init__(self) -> None:
        try:
            self.client = docker.from_env(timeout=_TIMEOUT)
        except (DockerException, RequestException) as exc:
            raise unavailable_error() from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def inspect(self, name: str) -> LocalImage | None:
        """Return the image with that name, or None."""
        try:
            found = self.client.images.get(name).attrs
        except (ImageNotFound, NotFound):
            return None
        except (DockerException, RequestException) as exc:
            raise unavailable_error() from exc
        return LocalImage(found["Id"], int(found["Size"]))

    def names(self, reference: str) -> list[str]:
        """Return the image names, `repository:tag`, that match a reference with `*` in it."""
        try:
            images = self.client.api.images(filters={"reference": reference})
        except (DockerException, RequestException) as exc:
            raise unavailable_error() from exc
        repository = reference.partition(":")[0]
        # An image that matches by one name is listed with all its names.
        return [
            name
            for image in images
            for name in image["RepoTags"] or []
            if name.partition(":")[0] == repository
        ]

    def rename(self, old: str, new: str) -> LocalImage:
        """Rename the image `old` to `new`. An image that had that name is removed.

        If a container uses that image, it stays and is among `replaced_names`.
        """
        repository, _, tag = new.rpartition(":")
        before = self.inspect(new)
        # In the same repository: under another one the engine would keep what it has pushed.
        replaced_tag = before and f"{tag}{_REPLACED_MARK}{before.id.removeprefix('sha256:')[:12]}"
        try:
            if replaced_tag:
                self.client.api.tag(new, repository, replaced_tag)
            self.client.api.tag(old, repository, tag, force=True)
            self.client.api.remove_image(old, noprune=True)
        except (DockerException, RequestException) as exc:
            raise unavailable_error() from exc
        image = self.inspect(new)
        if image is None:
            raise InfrastructureError(
                "engine_unavailable",
                "The image is missing from the container engine right after it was built.",
            )
        if replaced_tag:
            with suppress(InfrastructureError):  # the new image is in place, which matters more
                self.remove_image(f"{repository}:{replaced_tag}")
        return image

    def replaced_names(self) -> list[str]:
        """Return the names of images that were rebuilt while a container used them."""
        try:
            images = self.client.api.images()
        except (DockerException, RequestException) as exc:
            raise unavailable_error() from exc
        names = [name for image in images for name in image["RepoTags"] or []]
        return [name for name in names if _REPLACED_MARK in name.rpartition(":")[2]]

    def remove_image(self, name: str) -> bool:
        """Remove a name, and the image if it has no other; return False if a container uses it."""
        try:
            self.client.api.remove_image(name)
        except (ImageNotFound, NotFound):
            return True
        except APIError as exc:
            if exc.status_code != 409:  # a container uses it
                raise unavailable_error() from exc
            return False
        except (DockerException, RequestException) as exc:
            raise unavailable_error() from exc
        return True

    def names_in_use(self) -> set[str]:
        """Return all names of the images that a container uses, including stopped containers."""
        try:
            used = {container["ImageID"] for container in self.client.api.containers(all=True)}
            images = self.client.api.images()
        except (DockerException, RequestException) as exc:
            raise unavailable_error() from exc
        return {name for image in images if image["Id"] in used for name in image["RepoTags"] or []}

    def cgroup_driver(self) -> str:
        """Return what manages the cgroups of its containers: cgroupfs, systemd or none."""
        try:
            return str(self.client.info()["CgroupDriver"])
        except (DockerException, RequestException) as exc:
            raise unavailable_error() from exc

    def prune_build_cache(self, most: int) -> int:
        """Remove the least used build cache until it has at most `most` bytes; return how many were freed."""
        try:
            freed = self.client.api.prune_builds(keep_storage=most, all=True)
        except (DockerException, RequestException) as exc:
            raise unavailable_error() from exc
        return int(freed.get("SpaceReclaimed") or 0)


def unavailable_error() -> InfrastructureError:
    """Return the error for an engine that does not answer."""
    return InfrastructureError(
        "engine_unavailable",
        ENGINE_UNAVAILABLE,
    )
