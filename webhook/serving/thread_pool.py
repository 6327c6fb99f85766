"""A pool of threads that the event loop hands work to.

Threads that compute take turns: few run at once, since each of them delays the event loop and the deliveries. A
job that takes longer waits for a git server, and not for the processor, so it leaves its turn to the next one.
Unlike those of `concurrent.futures`, the threads do not keep the process from exiting.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

SLOW = 0.2
"""Seconds after which a job leaves its turn to another."""

Job = Callable[[], None]


class _Turn:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.is_over = False
        self.timer: asyncio.TimerHandle | None = None


class ThreadPool:
    """At most `size` threads, of which `at_once` compute. Used from one event loop."""

    def __init__(self, name: str, *, size: int, at_once: int) -> None:
        self._name = name
        self._size = size
        self._at_once = at_once
        self._waiting: deque[Job] = deque()
        self._turns: SimpleQueue[_Turn] = SimpleQueue()
        self._threads = self._busy = self._computing = 0

    def submit(self, job: Job) -> None:
        """Run a job, which must not raise, as soon as it is its turn."""
        self._waiting.append(job)
        self._start_next()

    def _start_next(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._computing < self._at_once and self._busy < self._size:
            turn = _Turn(self._waiting.popleft())
            turn.timer = loop.call_later(SLOW, self._end, turn)
            self._computing += 1
            self._busy += 1
            if self._busy > self._threads:
                self._threads += 1
                threading.Thread(target=self._work, args=(loop,), name=self._name, daemon=True).start()
            self._turns.put(turn)

    def _end(self, turn: _Turn) -> None:
        if not turn.is_over:
            turn.is_over = True
            self._computing -= 1
            self._start_next()

    def _done(self, turn: _Turn) -> None:
        if turn.timer is not None:
            turn.timer.cancel()
        self._busy -= 1
        self._end(turn)
        self._start_next()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            turn = self._turns.get()
            turn.job()
            try:
                loop.call_soon_threadsafe(self._done, turn)
            except RuntimeError:  # the loop is closed: the process exits
                return
            del turn  # it would be kept, with the request, until the next one comes
