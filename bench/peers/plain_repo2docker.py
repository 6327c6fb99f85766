"""Plain repo2docker, with the same buildpacks and base image as ours."""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

from bench.inputs.base_images import BENCH_IMAGE_PREFIX
from builder.buildpacks import repo2docker
from tests.support.registry import Registry

CONFIG = Path(__file__).with_name("plain_repo2docker_config.py")


class PlainRepo2docker:
    """repo2docker as a user runs it."""

    def __init__(self, folder: Path, registry: Registry, base_image: str, python_version: str | None) -> None:
        self._home = folder
        self._registry = registry
        self._spec = repo2docker.BuildSpec(
            checkout=folder,
            image="",
            repository_url="",
            commit="",
            buildpacks=("uv", "standard"),
            base_image=base_image,
            python_version=python_version,
            cache_id=uuid.uuid4().hex,
        )
        repo2docker.prepare_home(folder, os.environ)

    def build(self, url: str, commit: str) -> float:
        """Clone, build and push a commit, and return the seconds that this takes."""
        image = f"127.0.0.1:{self._registry.port}/{BENCH_IMAGE_PREFIX}plain:{commit}"
        options = ["--no-run", "--push", "--engine=docker", "--user-id=1000", "--user-name=jovyan"]
        target = [f"--image-name={image}", f"--ref={commit}", url]
        argv = [sys.executable, "-P", "-m", "repo2docker", "--config", str(CONFIG), *options, *target]
        environment = repo2docker.environment(self._spec, self._home, os.environ)
        started = time.perf_counter()
        done = subprocess.run(
            argv,
            env=environment | {"BENCH_OUR_CONFIG": str(repo2docker.CONFIG)},
            cwd=self._home / "empty",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=3600,
        )
        seconds = time.perf_counter() - started
        if done.returncode:
            raise RuntimeError(f"plain repo2docker failed: {done.stdout[-2000:]}")
        return seconds
