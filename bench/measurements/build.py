"""A push that changes only a notebook, from the delivery to the image in the registry.

Compared with our own first, cold build, and with plain `repo2docker --push` of the same commits and buildpacks.
A build is cold if no build has used its base image before; ours and the peer have one each.
"""

import time
from pathlib import Path

import docker

from bench.harness.rounds import print_median, print_verdict, ratios, take_turns
from bench.inputs import example_repository
from bench.inputs.base_images import BENCH_IMAGE_PREFIX, fresh_base_image, remove_images
from bench.peers.plain_repo2docker import PlainRepo2docker
from builder.engine import base_image
from demo.github.git_server import GitServer
from tests.support.registry import Registry
from tests.support.service import Service

ROUNDS = 3


def run(folder: Path) -> None:
    """Print the time of a change of a notebook, beside a cold build and beside plain repo2docker."""
    engine = docker.from_env()
    # One registry each, because the first push to an empty registry is larger.
    registries = [Registry(folder / "registry"), Registry(folder / "plain-registry")]
    for registry in registries:
        registry.start()
    try:
        with GitServer(folder / "github") as github:
            settings = {"REGISTRY_URL": registries[0].url, "IMAGE_PREFIX": BENCH_IMAGE_PREFIX}
            ours = Service(folder / "ours", github.url, fresh_base_image(engine), settings)
            base = fresh_base_image(engine)
            plain = PlainRepo2docker(
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


def _measure(github: GitServer, ours: Service, plain: PlainRepo2docker) -> None:
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
    """Return the seconds from the delivery until the build has succeeded."""
    started = time.perf_counter()
    answer = ours.push(example_repository.NAME, commit, pushed_at=int(time.time()))
    build = ours.wait_for(answer["build"])
    seconds = time.perf_counter() - started
    if build["status"] != "succeeded":
        raise RuntimeError(ours.log(build["id"])[-2000:])
    return seconds
