"""500 and 2,000 viewers of one running log: their cost, the delay of a line, and how much they slow deliveries.

Each round measures one process that serves everything, with 500 and with 2,000 viewers, and a separate process
for 500 viewers (`repo2hub web --role streams`). The log is written as a builder writes it, with and without
viewers. The delay of a line is the time from just before its commit to its arrival at a viewer. All viewers are
in one process (`bench.harness.log_viewers`), whose processor time is printed beside the server's. The
deliveries are sent one after another.
"""

import http.client
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.harness import process_usage
from bench.harness.rounds import print_median, print_verdict
from bench.harness.web_processes import service
from bench.inputs import deliveries
from db.database import Database
from db.queue import transitions
from db.queue.transitions import BuildResult
from db.records import logs
from db.status import Lease, Reason, Status
from demo.github.git_server import GitServer
from tests.support.service import Service

FEW, MANY = 500, 2000
MAX_DELAY = {FEW: 100, MANY: 300}
"""The target for the 99th percentile of a line's delay in milliseconds, by the number of viewers."""
LINES, LINE_INTERVAL = 60, 0.25
"""Lines, and seconds between two of them: a builder sends its output four times a second."""
ROUNDS = 3
_DELIVERIES_PER_ROUND = 2000  # prepared for one measurement, more than are sent in it


@dataclass
class RoundResult:
    """The results of one round of one site; times are in milliseconds."""

    alone: list[float]
    beside: list[float]
    delays: list[float]
    whole: int
    """Number of viewers that received every line in order."""
    bytes_each: float
    cpu: float
    """Of the process that serves the viewers, for each line; includes deliveries if it is the only process."""
    viewers_cpu: float


@dataclass
class Site:
    """A service, the port that its viewers use, the process that listens there, and how many viewers there are.

    `first` is the number of its first round: two sites may have one service.
    """

    name: str
    service: Service
    port: int
    pid: int
    viewers: int
    first: int = 0
    rounds: list[RoundResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database = Database(f"sqlite:///{self.service.data_dir / 'repo2hub.db'}")


def run(folder: Path) -> None:
    """Print delays, cost, and the deliveries' 99th percentile with and without viewers, for both sites."""
    with GitServer(folder / "github") as github, _sites(folder, github) as sites:
        for site in sites:
            warm_up = deliveries.prepare(200, first=2 * (ROUNDS + site.first) * _DELIVERIES_PER_ROUND)
            _deliver(site, warm_up, lambda: True)
        for number in range(ROUNDS):
            # Each goes first in turn.
            for site in sites if number % 2 == 0 else sites[::-1]:
                site.rounds.append(_measure(site, number))
        for site in sites:
            _report(site)


@contextmanager
def _sites(folder: Path, github: GitServer) -> Iterator[list[Site]]:
    limit = {"MAX_STREAMS": str(MANY + 100)}
    with (
        service(folder / "one", github, **limit) as one,
        service(folder / "two", github, role="webhook", **limit) as two,
    ):
        streams, port = two.start_beside("streams")
        sites = [
            Site("one process", one, one.port, one.pid("web"), FEW),
            Site("one process", one, one.port, one.pid("web"), MANY, first=ROUNDS + 1),
            Site("split by role", two, port, streams.pid, FEW),
        ]
        yield sites
        for site in sites:
            site.database.dispose()


def _measure(site: Site, number: int) -> RoundResult:
    number += site.first
    lease = _start_build(site, 2 * number)
    alone = _deliver_while_written(site, 2 * number, lease)
    _finish(site, lease)
    lease = _start_build(site, 2 * number + 1)
    before = process_usage.resident_memory(site.pid)
    spec = f"gh/org/watched/{_commit(2 * number + 1)}"
    argv = [sys.executable, "-m", "bench.harness.log_viewers", str(site.port), spec, str(site.viewers)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as viewers:
        assert viewers.stdout is not None
        if viewers.stdout.readline().strip() != "connected":
            raise RuntimeError("the viewers did not connect")
        spent = process_usage.cpu_seconds(site.pid)
        beside = _deliver_while_written(site, 2 * number + 1, lease)
        spent = process_usage.cpu_seconds(site.pid) - spent
        held = process_usage.resident_memory(site.pid) - before
        _finish(site, lease)
        report: dict[str, Any] = json.loads(viewers.stdout.readline())
    return RoundResult(
        alone=alone,
        beside=beside,
        delays=report["delays"],
        whole=sum(lines == list(range(1, LINES + 1)) for lines in report["lines"]),
        bytes_each=held / site.viewers,
        cpu=spent * 1000 / LINES,
        viewers_cpu=report["cpu"] * 1000 / LINES,
    )


def _start_build(site: Site, number: int) -> Lease:
    """Start a build whose log this process writes."""
    build_id = site.service.request_build("org/watched", _commit(number))
    with site.database.write() as session:
        # It is claimed before the builds of the deliveries, because it was requested by a user.
        build = transitions.claim(session, worker="bench", now=datetime.now(UTC))
    if build is None or build.id != build_id:
        raise RuntimeError("the wrong build was claimed")
    return Lease(build_id, build.attempt)


def _finish(site: Site, lease: Lease) -> None:
    with site.database.write() as session:
        transitions.finish(
            session, lease, BuildResult(Status.FAILED, Reason.USER_ERROR), now=datetime.now(UTC)
        )


def _commit(number: int) -> str:
    return f"{number + 1:040x}"


def _deliver_while_written(site: Site, block: int, lease: Lease) -> list[float]:
    prepared = deliveries.prepare(_DELIVERIES_PER_ROUND, first=block * _DELIVERIES_PER_ROUND)
    writer = threading.Thread(target=_write, args=(site.database, lease))
    writer.start()
    times = _deliver(site, prepared, writer.is_alive)
    writer.join()
    return times


def _write(database: Database, lease: Lease) -> None:
    for number in range(1, LINES + 1):
        time.sleep(LINE_INTERVAL)
        text = f"line {number} at {time.monotonic()}\n"
        with database.write() as session:
            logs.append(session, lease, first_seq=number, texts=[text], now=datetime.now(UTC))


def _deliver(site: Site, prepared: list[bytes], go_on: Callable[[], bool]) -> list[float]:
    """Send deliveries one after another while `go_on` returns True; return their times in milliseconds."""
    times: list[float] = []
    with socket.create_connection(("127.0.0.1", site.service.port), timeout=30) as sock:
        for raw in prepared:
            if not go_on():
                return times
            started = time.monotonic()
            sock.sendall(raw)
            with http.client.HTTPResponse(sock) as answer:
                answer.begin()
                answer.read()
            times.append((time.monotonic() - started) * 1000)
            if answer.status != http.HTTPStatus.ACCEPTED:
                raise RuntimeError(f"a delivery was answered with {answer.status}")
            time.sleep(0.01)
    return times


def _report(site: Site) -> None:
    seen = site.rounds
    print(f"  {site.name}: {site.viewers} viewers, {LINES} lines")
    print_median("viewers that got every line in order", [one.whole for one in seen])
    # Of the first round, because a process reuses its memory in later rounds.
    print_median("memory for each", [seen[0].bytes_each / 1024], "kB")
    print_median("processor time for a line, server", [one.cpu for one in seen], "ms")
    print_median("processor time for a line, the viewers", [one.viewers_cpu for one in seen], "ms")
    print_median("delay of a line, p50", [statistics.median(one.delays) for one in seen], "ms")
    print_median("p99 of a delivery without viewers", [_p99(one.alone) for one in seen], "ms")
    print_median("p99 of a delivery with viewers", [_p99(one.beside) for one in seen], "ms")
    limit = MAX_DELAY[site.viewers]
    print_verdict(
        "delay of a line, p99, ms",
        [_p99(one.delays) for one in seen],
        f"<= {limit}",
        lambda p99: p99 <= limit,
    )
    for name, quantile in (("mean", statistics.mean), ("p99", _p99)):
        times = [quantile(one.beside) / quantile(one.alone) for one in seen]
        print_verdict(f"{name} of a delivery, with / without", times, "<= 1.2", lambda ratio: ratio <= 1.2)


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]
