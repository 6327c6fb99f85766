"""Base images that no build has used, so that a build is cold while the engine keeps its cache."""

import io
import os
import uuid

import docker

BENCH_IMAGE_PREFIX = "repo2hub-bench/"
"""The prefix of the names of all images of the benchmarks."""

BASE_IMAGE_VARIABLE = "REPO2HUB_BASE_IMAGE"


def fresh_base_image(engine: docker.DockerClient) -> str:
    """Return the name of an image like the base image, with one new file, so that no cached layer applies."""
    base = os.environ.get(BASE_IMAGE_VARIABLE)
    if base is None:
        raise RuntimeError(f"{BASE_IMAGE_VARIABLE} is not set. Run `make bench`, which sets it.")
    unique = uuid.uuid4().hex
    name = f"{BENCH_IMAGE_PREFIX}base:{unique[:12]}"
    dockerfile = io.BytesIO(f"FROM {base}\nRUN echo {unique} > /etc/repo2hub-bench\n".encode())
    engine.images.build(fileobj=dockerfile, tag=name, rm=True, forcerm=True)
    return name


def remove_images(engine: docker.DockerClient) -> None:
    """Remove all images of the benchmarks, also those named for a registry."""
    for image in engine.api.images():
        for name in image["RepoTags"] or []:
            if BENCH_IMAGE_PREFIX in name:
                engine.api.remove_image(name, force=True)
