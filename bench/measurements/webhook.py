"""Deliveries per second, and their 99th percentile, with 32 connections.

Ours verifies and parses the delivery, and records repository, ref head, build and delivery in one transaction.
The peer is a minimal receiver on the same server: HMAC, JSON, one INSERT of the delivery, 202. Both respond
after the commit, when the data is on the disk.
"""

from pathlib import Path

from bench.harness import wrk
from bench.harness.postgresql import new_database, postgresql_server
from bench.harness.rounds import print_median, print_verdict, ratios, take_turns
from bench.harness.web_processes import peer, service
from bench.harness.wrk import Load
from bench.inputs import deliveries
from demo.github.git_server import GitServer

ROUNDS, SECONDS, CONNECTIONS = 5, 4, 32
_PREPARED = 12_000  # deliveries of one round, more than a server handles in it


def run(folder: Path) -> None:
    """Print the ratio of rates, and the 99th percentiles."""
    _measure("SQLite", folder / "sqlite", "", "")
    with (
        postgresql_server(folder / "server") as server,
        new_database(server) as ours,
        new_database(server) as peers,
    ):
        _measure("PostgreSQL", folder / "postgresql", ours, peers)


def _measure(what: str, folder: Path, our_database: str, peers_database: str) -> None:
    folder.mkdir()
    with (
        GitServer(folder / "github") as github,
        service(folder / "ours", github, DATABASE_URL=our_database) as ours,
        peer("receiver", folder / "peer", peers_database) as bare,
    ):
        for address in (ours.url, bare):  # a warm-up
            _load(address, folder, 0)
        mine, peers = take_turns(
            ROUNDS,
            lambda number: _load(ours.url, folder, number + 1),
            lambda number: _load(bare, folder, number + 1),
        )
    _report(what, mine, peers)


def _load(address: str, folder: Path, number: int) -> Load:
    prepared = deliveries.prepare(_PREPARED, first=number * _PREPARED)
    load = wrk.run(address, prepared, folder, connections=CONNECTIONS, seconds=SECONDS)
    if load.requests > _PREPARED:
        raise RuntimeError("deliveries were repeated, because the server is too fast: raise _PREPARED")
    return load


def _report(what: str, mine: list[Load], peers: list[Load]) -> None:
    print_median(f"{what}: deliveries, ours", [load.per_second for load in mine], "/s")
    print_median(f"{what}: deliveries, bare Flask receiver", [load.per_second for load in peers], "/s")
    print_median(f"{what}: p99, ours", [load.p99 for load in mine], "ms")
    print_median(f"{what}: p99, bare Flask receiver", [load.p99 for load in peers], "ms")
    rate = ratios([load.per_second for load in mine], [load.per_second for load in peers])
    print_verdict(f"{what}: rate, ours / peer", rate, ">= 0.6", lambda ratio: ratio >= 0.6)
    slowest = ratios([load.p99 for load in mine], [load.p99 for load in peers])
    print_verdict(f"{what}: p99, ours / peer", slowest, "<= 1.5", lambda ratio: ratio <= 1.5)
