"""Lookups on one web process, whose records hold 10,000 images, beside an empty Flask answer on the same server.

A lookup returns the image of a branch. For repositories with a webhook it is answered from the records, so the
stand-in for GitHub must not receive any request.
"""

import random
from contextlib import ExitStack
from pathlib import Path

from base.settings import SharedSettings
from bench.harness import wrk
from bench.harness.postgresql import new_database, postgresql_server
from bench.harness.rounds import print_median, print_verdict, ratios, take_turns
from bench.harness.web_processes import peer, service
from bench.harness.wrk import Load
from bench.inputs.images import REPOSITORIES, insert_images
from demo.github.git_server import GitServer

ROUNDS, SECONDS = 5, 3
CONNECTIONS = (1, 8)


def run(folder: Path) -> None:
    """Print the ratio of the times of a lookup and of an empty response."""
    _measure("SQLite", folder / "sqlite", "")
    with postgresql_server(folder / "server") as running, new_database(running) as address:
        _measure("PostgreSQL", folder / "postgresql", address)


def _measure(what: str, folder: Path, address: str) -> None:
    folder.mkdir()
    with ExitStack() as stack:
        github = stack.enter_context(GitServer(folder / "github"))
        ours = stack.enter_context(service(folder / "ours", github, DATABASE_URL=address))
        empty = stack.enter_context(peer("empty", folder / "peer"))
        recipe = SharedSettings(base_image=ours.base_image, buildpacks=("uv", "standard")).recipe()
        insert_images(address or f"sqlite:///{ours.data_dir / 'repo2hub.db'}", recipe)
        names = [f"/api/v1/images/gh/org/repo-{number}/main" for number in range(REPOSITORIES)]
        random.Random(1).shuffle(names)
        for connections in CONNECTIONS:

            def load(url: str, paths: list[str], connections: int = connections) -> Load:
                return wrk.run(
                    url, [_get(p) for p in paths], folder, connections=connections, seconds=SECONDS
                )

            load(ours.url, names)
            mine, peers = take_turns(ROUNDS, lambda _: load(ours.url, names), lambda _: load(empty, ["/"]))
            _report(f"{what}, {connections} at once", mine, peers)
        print(f"  outside calls during all lookups: {len(github.requests)}", flush=True)


def _report(what: str, mine: list[Load], peers: list[Load]) -> None:
    print_median(f"{what}: lookups", [load.per_second for load in mine], "/s")
    print_median(f"{what}: empty Flask answers", [load.per_second for load in peers], "/s")
    print_median(f"{what}: median time of a lookup", [load.median for load in mine], "ms")
    times = ratios([load.median for load in mine], [load.median for load in peers])
    print_verdict(f"{what}: median time, lookup / empty", times, "<= 1.3", lambda ratio: ratio <= 1.3)


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
