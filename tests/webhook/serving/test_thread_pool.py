"""Threads that take turns."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from webhook.serving import thread_pool
from webhook.serving.thread_pool import ThreadPool

LIMIT = 20.0


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not condition():
            await asyncio.sleep(0.005)


def test_no_more_compute_at_once_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "SLOW", LIMIT)

    async def main() -> None:
        pool = ThreadPool("test", size=10, at_once=2)
        release, running, done = threading.Event(), [0], [0]

        def job() -> None:
            running[0] += 1
            release.wait(LIMIT)
            done[0] += 1

        for _ in range(6):
            pool.submit(job)
        await _until(lambda: running[0] == 2)
        await asyncio.sleep(0.1)
        assert running[0] == 2
        release.set()
        await _until(lambda: done[0] == 6)

    asyncio.run(main())


def test_a_job_that_waits_leaves_its_turn_until_all_threads_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "SLOW", 0.01)

    async def main() -> None:
        pool = ThreadPool("test", size=5, at_once=2)
        release = threading.Event()
        running: list[int] = []
        for number in range(8):
            pool.submit(lambda number=number: (running.append(number), release.wait(LIMIT)) and None)  # type: ignore[misc]
        await _until(lambda: len(running) == 5)
        await asyncio.sleep(0.1)
        assert running == [0, 1, 2, 3, 4]
        release.set()
        await _until(lambda: len(running) == 8)
        assert running[5:] == [5, 6, 7]

    asyncio.run(main())
