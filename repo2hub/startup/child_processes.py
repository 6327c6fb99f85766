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

STOP_TIMEOUT = 90.0
"""Seconds that a child has to stop: a builder ends its build and gives it back."""
_POLL_INTERVAL = 0.2
_START_TIMEOUT = 60.0


class ChildProcesses:
    """Child processes by name. Leaving the block stops them all, however it is left."""

    def __init__(self) -> None:
        self._kill_now = threading.Event()
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

    def exited_child(self) -> tuple[str, int] | None:
        """Return the first child that is not running any more, with its exit status."""
        for name, process in self._running.items():
            status = process.poll()
            if status is not None:
                return name, status
        return None

    def kill_now(self) -> None:
        """Kill what has not stopped yet, instead of waiting for it."""
        self._kill_now.set()

    def stop(self) -> None:
        """Ask all to stop; kill what has not after GRACE seconds, or in a hurry."""
        alive = [process for process in self._running.values() if process.poll() is None]
        for process in alive:
            process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT
        while alive and time.monotonic() < deadline and not self._kill_now.is_set():
            time.sleep(_POLL_INTERVAL / 2)
            alive = [process for process in alive if process.poll() is None]
        for process in alive:
            process.kill()
            process.wait()


def stop_on_signal(children: ChildProcesses) -> threading.Event:
    """Return what SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal is gone) set from now on.

    A second signal puts the children in a hurry.
    """
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            children.kill_now()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    return stop


def repo2hub_command(*words: str) -> list[str]:
    """Return the command line that runs a command of ours with this very Python."""
    return [sys.executable, "-m", "repo2hub", *words]


def is_healthy(address: str) -> bool:
    """Say whether a web process of ours answers at its address (with the base path)."""
    session = requests.Session()
    session.trust_env = False  # a proxy is of no use for this machine itself
    with suppress(requests.RequestException), session:
        return session.get(f"{address.rstrip('/')}/health", timeout=2).ok
    return False


def wait_until_healthy(address: str, children: ChildProcesses, stop: threading.Event | None = None) -> bool:
    """Wait for the web process. False where a child ended, `stop` was set or a minute has passed."""
    stop = stop or threading.Event()
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline and children.exited_child() is None and not stop.is_set():
        if is_healthy(address):
            return True
        stop.wait(_POLL_INTERVAL)
    return False


def wait_for_stop_or_exit(children: ChildProcesses, stop: threading.Event) -> tuple[str, int] | None:
    """Wait until `stop` is set (None) or a child ended by itself (its name and exit status)."""
    while not stop.wait(_POLL_INTERVAL):
        exited_child = children.exited_child()
        if exited_child is not None:
            return exited_child
    return None
