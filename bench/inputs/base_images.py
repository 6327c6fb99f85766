"""Base images that no build has seen, so that a build is cold while the engine's cache stays; tidying up."""

import io
import os
import uuid

import docker

BENCH_IMAGE_PREFIX = "repo2hub-bench/"
"""How the names of all images that the benchmarks make begin."""

BASE_IMAGE_VARIABLE = "REPO2HUB_BASE_IMAGE"


def fresh_base_image(engine: docker.DockerClient) -> str:
    """Return the name of an image like the given base, in which one file is new: no cached layer fits on it."""
    base = os.environ.get(BASE_IMAGE_VARIABLE)
    if base is None:
        raise RuntimeError(
            f"{BASE_IMAGE_VARIABLE} must name the image to build on: run make bench, which sets it"
        )
    unique = uuid.uuid4().hex
    name = f"{BENCH_IMAGE_PREFIX}base:{unique[:12]}"
    dockerfile = io.BytesIO(f"FROM {base}\nRUN echo {unique} > /etc/repo2hub-bench\n".encode())
    engine.images.build(fileobj=dockerfile, tag=name, rm=True, forcerm=True)
    return name


def remove_images(engine: docker.DockerClient) -> None:
    """Remove the images that the benchmarks made, in whichever registry's name."""
    for image in engine.api.images():
        for name in image["RepoTags"] or []:
            if BENCH_IMAGE_PREFIX in name:
                engine.api.remove_image(name, force=True)
