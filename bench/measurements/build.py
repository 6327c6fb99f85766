"""A push that changes only a notebook, from the delivery to the image in the registry.

Beside it: our own first, cold build, and plain `repo2docker --push` of the same commits from their URL, with the
same buildpacks. A build is cold on a base image that no build has seen; ours and the peer have one each.
"""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import docker

from bench.harness.rounds import print_median, print_verdict, ratios, take_turns
from bench.inputs import example_repository
from bench.inputs.base_images import BENCH_IMAGE_PREFIX, fresh_base_image, remove_images
from builder.buildpacks import repo2docker
from builder.engine import base_image
from demo.github.git_server import GitServer
from tests.support.registry import Registry
from tests.support.service import Service

ROUNDS = 3


def run(folder: Path) -> None:
    """Print what a notebook costs, beside a cold build and beside plain repo2docker."""
    engine = docker.from_env()
    # One registry each: whoever pushes first to an empty one has the more to push.
    registries = [Registry(folder / "registry"), Registry(folder / "plain-registry")]
    for registry in registries:
        registry.start()
    try:
        with GitServer(folder / "github") as github:
            settings = {"REGISTRY_URL": registries[0].url, "IMAGE_PREFIX": BENCH_IMAGE_PREFIX}
            ours = Service(folder / "ours", github.url, fresh_base_image(engine), settings)
            base = fresh_base_image(engine)
            plain = Plain(
                folder / "plain", registries[1], base, base_image.prepare(engine, base, None).python_version
            )
            ours.start_all()
            try:
                _measure(github, ours, plain)
            finally:
                ours.stop_all()
    finally:
        for registry in registries:
            registry.stop()
        remove_images(engine)
        engine.close()


def _measure(github: GitServer, ours: Service, plain: "Plain") -> None:
    hello, first = example_repository.create(github)
    cold, plain_cold = _push(ours, first), plain.build(hello.url, first)
    commits = [example_repository.change_notebook(hello) for _ in range(ROUNDS)]
    warm, plain_warm = take_turns(
        ROUNDS,
        lambda number: _push(ours, commits[number]),
        lambda number: plain.build(hello.url, commits[number]),
    )
    print_median("cold, ours", [cold], "s")
    print_median("cold, plain repo2docker", [plain_cold], "s")
    print_median("only a notebook, ours", warm, "s")
    print_median("only a notebook, plain repo2docker", plain_warm, "s")
    print_verdict(
        "only a notebook / cold, ours", [one / cold for one in warm], "<= 0.2", lambda ratio: ratio <= 0.2
    )
    print_median("only a notebook, ours / plain", ratios(warm, plain_warm))
    print_median("cold, ours / plain", [cold / plain_cold])


def _push(ours: Service, commit: str) -> float:
    """Return the seconds from the delivery until the build has ended well."""
    begun = time.perf_counter()
    said = ours.push(example_repository.NAME, commit, pushed_at=int(time.time()))
    build = ours.wait_for(said["build"])
    taken = time.perf_counter() - begun
    if build["status"] != "succeeded":
        raise RuntimeError(ours.log(build["id"])[-2000:])
    return taken


class Plain:
    """repo2docker as a person runs it."""

    def __init__(self, folder: Path, registry: Registry, base_image: str, python_version: str | None) -> None:
        self._home = folder
        self._registry = registry
        self._recipe = repo2docker.BuildSpec(
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
        """Return the seconds that it takes to clone, build and push a commit."""
        image = f"127.0.0.1:{self._registry.port}/{BENCH_IMAGE_PREFIX}plain:{commit}"
        options = ["--no-run", "--push", "--engine=docker", "--user-id=1000", "--user-name=jovyan"]
        what = [f"--image-name={image}", f"--ref={commit}", url]
        config = Path(__file__).with_name("plain_config.py")
        argv = [sys.executable, "-P", "-m", "repo2docker", "--config", str(config), *options, *what]
        environment = repo2docker.environment(self._recipe, self._home, os.environ)
        begun = time.perf_counter()
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
        taken = time.perf_counter() - begun
        if done.returncode:
            raise RuntimeError(f"plain repo2docker failed: {done.stdout[-2000:]}")
        return taken
