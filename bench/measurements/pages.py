"""The list of builds and the other pages of one web process, over 100, 10,000 and 1,000,000 builds.

One request at a time, as from one user. Set SIZES=100,10000 in the environment to measure fewer.
"""

import statistics
import time
from contextlib import ExitStack
from pathlib import Path

import requests

from bench.harness import wrk
from bench.harness.history_sizes import measure_sizes
from bench.harness.rounds import print_median, print_verdict
from bench.harness.web_processes import service
from bench.inputs import build_history
from demo.github.git_server import GitServer
from tests.support.service import Service

ROUNDS, SECONDS = 3, 1
TARGET = 50.0
"""Milliseconds at the 99th percentile of the first page."""


def run(folder: Path) -> None:
    """Print the time of each view, and how it grows with the history."""
    found = measure_sizes(folder, _measure)
    for what, medians in found.items():
        # From the second size on, because a page of the smallest history has fewer rows.
        first, last = medians[min(1, len(medians) - 1)], medians[-1]
        for view in last:
            print_verdict(
                f"{what}: {view}, growth", [last[view] / first[view]], "<= 1.5", lambda times: times <= 1.5
            )


def _measure(what: str, folder: Path, address: str, size: int) -> dict[str, float]:
    """Fill a database and measure each view; return their median times."""
    folder.mkdir()
    with ExitStack() as stack:
        github = stack.enter_context(GitServer(folder / "github"))
        ours = stack.enter_context(service(folder / "ours", github, DATABASE_URL=address))
        names = build_history.insert_service_history(what, ours, address, size)
        title = f"{what}, {size:,}"
        times = {
            view: _time(f"{title}: {view}", ours.url, path, folder)
            for view, path in _views(names, size).items()
        }
        return times | {"first metrics of a process": _time_first_metrics(title, ours)}


def _views(names: list[str], size: int) -> dict[str, str]:
    repository = names[len(names) // 2]
    return {
        "first page": "/",
        "page in the middle": f"/?before={size // 2}",
        "failed": "/?status=failed",
        "failed, page in the middle": f"/?status=failed&before={size // 2}",
        "a trigger without builds": "/?trigger=launch",
        "one repository": f"/?repository={repository}",
        "its main branch, failed": f"/?repository={repository}&ref=main&status=failed",
        "a search without results": "/?q=zyzzyva",
        "the polled part of a page": "/?part=active",
        "repository page": f"/gh/{repository}",
        "overview": "/admin",
        "metrics": "/metrics",
        "API: images": "/api/v1/images",
        "API: builds": "/api/v1/builds",
    }


def _time(what: str, url: str, path: str, folder: Path) -> float:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html\r\n\r\n".encode()
    wrk.run(url, [request], folder, connections=1, seconds=1)
    loads = [wrk.run(url, [request], folder, connections=1, seconds=SECONDS) for _ in range(ROUNDS)]
    print_median(f"{what}, p50", [load.median for load in loads], "ms")
    p99 = [load.p99 for load in loads]
    print_verdict(f"{what}, p99", p99, f"<= {TARGET:g} ms", lambda milliseconds: milliseconds <= TARGET)
    return sorted(load.median for load in loads)[len(loads) // 2]


def _time_first_metrics(title: str, ours: Service) -> float:
    """Restart the process and time its first answer, ROUNDS times."""
    times = []
    for _ in range(ROUNDS):
        ours.stop_all()
        ours.start("web")
        ours.wait_until_up()
        begun = time.perf_counter()
        requests.get(f"{ours.url}/metrics", timeout=60).raise_for_status()
        times.append((time.perf_counter() - begun) * 1000)
    print_median(f"{title}: first metrics of a process", times, "ms")
    return statistics.median(times)
