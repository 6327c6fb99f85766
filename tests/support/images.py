"""Images of the machine's engine: the one that tests build on, and the removal of those that they made."""

import subprocess

import docker

from tests.conftest import ROOT


def make_base_image() -> str:
    """Return the name of an image to build on: of Debian packages where no registry is in reach."""
    script = str(ROOT / "machine" / "base-image")
    made = subprocess.run([script], check=True, stdout=subprocess.PIPE, text=True, timeout=900)
    return made.stdout.strip().splitlines()[-1]


def remove_images(engine: docker.DockerClient, prefix: str) -> None:
    """Remove every image whose name begins with the prefix, with or without a registry before it."""
    for image in engine.api.images():
        for tag in image["RepoTags"] or []:
            if tag.startswith(prefix) or f"/{prefix}" in tag:
                engine.api.remove_image(tag, force=True)
