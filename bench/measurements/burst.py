"""A burst of 5,000 deliveries over 500 connections; a fifth of them are redeliveries of others in the burst.

GitHub waits 10 seconds for a response and does not retry, so each delivery must be answered in that time, and
each push must be recorded exactly once.
"""

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import create_engine, text

from bench.harness.web_processes import service
from bench.inputs import deliveries
from demo.github.git_server import GitServer

DELIVERIES, DUPLICATES, CONNECTIONS = 5000, 1000, 500
GITHUB_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True)
class TimedAnswer:
    status: int
    seconds: float


def run(folder: Path) -> None:
    """Print the responses to the burst, and its records."""
    new = deliveries.prepare(DELIVERIES - DUPLICATES)
    burst = [*new, *random.Random(1).sample(new, DUPLICATES)]
    random.Random(2).shuffle(burst)
    with GitServer(folder / "github") as github, service(folder / "ours", github) as ours:
        answers = asyncio.run(send(ours.url, burst))
        with create_engine(f"sqlite:///{ours.data_dir / 'repo2hub.db'}").connect() as connection:
            rows = {
                table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
                for table in ("delivery", "build")
            }
    _report(answers, rows)


def _report(answers: list[TimedAnswer], rows: dict[str, int]) -> None:
    pushes = DELIVERIES - DUPLICATES
    statuses = Counter(answer.status for answer in answers)
    times = sorted(answer.seconds for answer in answers)
    p99 = statistics.quantiles(times, n=100)[98]
    print(f"  answers      {statuses[202]} queued, {statuses[200]} seen before, of {len(answers)} sent")
    print(f"  records      {rows['delivery']} deliveries, {rows['build']} builds, of {pushes} pushes")
    print(
        f"  waiting      median {statistics.median(times):.2f} s, p99 {p99:.2f} s, longest {times[-1]:.2f} s"
    )
    is_whole = dict(statuses) == {202: pushes, 200: DUPLICATES} and set(rows.values()) == {pushes}
    print(f"  none lost, none doubled: {'met' if is_whole else 'NOT met'}")
    print(f"  all within GitHub's {GITHUB_TIMEOUT:g} s: {'met' if times[-1] < GITHUB_TIMEOUT else 'NOT met'}")


async def send(address: str, requests: list[bytes]) -> list[TimedAnswer]:
    """Send each request once, over CONNECTIONS connections."""
    left = iter(requests)
    senders = [_send_some(address, left) for _ in range(CONNECTIONS)]
    return [answer for some in await asyncio.gather(*senders) for answer in some]


async def _send_some(address: str, left: Iterator[bytes]) -> list[TimedAnswer]:
    url, answers = urlsplit(address), []
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    for request in left:
        started = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(line for line in head.split("\r\n") if line.lower().startswith("content-length:"))
        await reader.readexactly(int(length.partition(":")[2]))
        answers.append(TimedAnswer(int(head.split(" ", 2)[1]), time.perf_counter() - started))
    writer.close()
    return answers
