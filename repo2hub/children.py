"""Child processes of `repo2hub up` and the demo: started, watched, and ended with certainty."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import requests

GRACE = 90.0
"""Seconds that a child has to stop: a builder ends its build and gives it back."""
_TICK = 0.2
_START_LIMIT = 60.0


class Children:
    """Child processes by name. Leaving the block stops them all, however it is left."""

    def __init__(self) -> None:
        self._hurry = threading.Event()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(
        self, name: str, argv: Sequence[str], env: Mapping[str, str], output: Path | None = None
    ) -> None:
        """Start one, in a process group of its own: Ctrl-C then reaches it from us, and once only.

        What it prints goes to the file `output`, or where ours goes.
        """
        with output.open("ab") if output else nullcontext() as file:
            self._running[name] = subprocess.Popen(
                argv, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file, process_group=0
            )

    def ended(self) -> tuple[str, int] | None:
        """Return the first child that is not running any more, with its exit status."""
        for name, process in self._running.items():
            status = process.poll()
            if status is not None:
                return name, status
        return None

    def hurry(self) -> None:
        """Kill what has not stopped yet, instead of waiting for it."""
        self._hurry.set()

    def stop(self) -> None:
        """Ask all to stop; kill what has not after GRACE seconds, or in a hurry."""
        alive = [process for process in self._running.values() if process.poll() is None]
        for process in alive:
            process.terminate()
        deadline = time.monotonic() + GRACE
        while alive and time.monotonic() < deadline and not self._hurry.is_set():
            time.sleep(_TICK / 2)
            alive = [process for process in alive if process.poll() is None]
        for process in alive:
            process.kill()
            process.wait()


def stop_on_signal(children: Children) -> threading.Event:
    """Return what SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal is gone) set from now on.

    A second signal puts the children in a hurry.
    """
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            children.hurry()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    return stop


def command(*words: str) -> list[str]:
    """Return the command line that runs a command of ours with this very Python."""
    return [sys.executable, "-m", "repo2hub", *words]


def answers(address: str) -> bool:
    """Say whether a web process of ours answers at its address (with the base path)."""
    session = requests.Session()
    session.trust_env = False  # a proxy is of no use for this machine itself
    with suppress(requests.RequestException), session:
        return session.get(f"{address.rstrip('/')}/health", timeout=2).ok
    return False


def wait_until_it_answers(address: str, children: Children, stop: threading.Event | None = None) -> bool:
    """Wait for the web process. False where a child ended, `stop` was set or a minute has passed."""
    stop = stop or threading.Event()
    deadline = time.monotonic() + _START_LIMIT
    while time.monotonic() < deadline and children.ended() is None and not stop.is_set():
        if answers(address):
            return True
        stop.wait(_TICK)
    return False


def watch(children: Children, stop: threading.Event) -> tuple[str, int] | None:
    """Wait until `stop` is set (None) or a child ended by itself (its name and exit status)."""
    while not stop.wait(_TICK):
        ended = children.ended()
        if ended is not None:
            return ended
    return None
