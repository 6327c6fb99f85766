"""Badges of one web process over 100, 10,000 and 1,000,000 builds, beside an empty response of the same server.

All repositories and branches are requested in random order, so that the database's cache has no advantage. Set
SIZES=100,10000 in the environment to measure fewer.
"""

import random
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.harness import wrk
from bench.harness.history_sizes import SIZES, measure_sizes
from bench.harness.rounds import print_median, print_verdict, ratios, take_turns
from bench.harness.web_processes import peer, service
from bench.harness.wrk import Load
from bench.inputs import build_history
from demo.github.git_server import GitServer

ROUNDS, SECONDS, CONNECTIONS, MAX_PATHS = 5, 3, 8, 20_000


def run(folder: Path) -> None:
    """Print the rate of badges, and how their time grows with the history."""
    medians = measure_sizes(folder, _measure)
    for what, found in medians.items():
        growth = [found[-1] / found[0]]
        sizes = f"{SIZES[-1]:,} builds / {SIZES[0]:,}"
        print_verdict(f"{what}: median time, {sizes}", growth, "<= 1.2", lambda ratio: ratio <= 1.2)


def _measure(what: str, folder: Path, address: str, size: int) -> float:
    folder.mkdir()
    with ExitStack() as stack:
        github = stack.enter_context(GitServer(folder / "github"))
        ours = stack.enter_context(service(folder / "ours", github, DATABASE_URL=address))
        empty = stack.enter_context(peer("empty", folder / "peer"))
        names = build_history.insert_service_history(what, ours, address, size)
        badges = _requests(names)

        def load(url: str, requests: Sequence[bytes]) -> Load:
            return wrk.run(url, requests, folder, connections=CONNECTIONS, seconds=SECONDS)

        load(ours.url, badges)
        plain = [b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]
        mine, peers = take_turns(ROUNDS, lambda _: load(ours.url, badges), lambda _: load(empty, plain))
        assert not github.requests, "a badge sent a request to GitHub"
        return _report(f"{what}, {size:,} builds", mine, peers)


def _report(what: str, mine: list[Load], peers: list[Load]) -> float:
    print_median(f"{what}: badges", [load.per_second for load in mine], "/s")
    print_median(f"{what}: empty Flask responses", [load.per_second for load in peers], "/s")
    print_median(f"{what}: p99 of a badge", [load.p99 for load in mine], "ms")
    times = ratios([load.median for load in mine], [load.median for load in peers])
    print_median(f"{what}: median time, badge / empty", times)
    return sorted(load.median for load in mine)[len(mine) // 2]


def _requests(names: Sequence[str]) -> list[bytes]:
    refs = ["", *(f"/{branch}" for branch in dict.fromkeys(build_history.BRANCHES))]
    paths = [f"/badge/gh/{name}{ref}.svg" for name in names for ref in refs][:MAX_PATHS]
    random.Random(1).shuffle(paths)
    return [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() for path in paths]
