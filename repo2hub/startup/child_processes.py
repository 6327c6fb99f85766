"""Child processes of `repo2hub up` and of the demo: start, watch and stop them."""

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

from repo2hub.client.service import direct_session

STOP_TIMEOUT = 90.0
"""Seconds that a child process has to stop: a builder stops its build and returns it to the queue."""
_POLL_INTERVAL = 0.2
_START_TIMEOUT = 60.0


class ChildProcesses:
    """Child processes by name. Leaving the `with` block stops them all, also after an exception."""

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
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        output: Path | None = None,
        *,
        sockets: Sequence[int] = (),
    ) -> None:
        """Start a child process in its own process group, so that Ctrl-C reaches it only through `stop`.

        Its output is appended to the file `output`, or goes where ours goes. `sockets` are the descriptors that
        systemd gave to this process and that the child takes over.
        """
        if sockets:  # LISTEN_PID must name the child
            argv = ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *argv]
        with output.open("ab") if output else nullcontext() as file:
            self._running[name] = subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                process_group=0,
                pass_fds=sockets,
            )

    def exited_child(self) -> tuple[str, int] | None:
        """Return the name and exit status of the first child that has ended, or None."""
        for name, process in self._running.items():
            status = process.poll()
            if status is not None:
                return name, status
        return None

    def kill_now(self) -> None:
        """Let `stop` kill the children that have not stopped yet, instead of waiting for them."""
        self._kill_now.set()

    def stop(self) -> None:
        """Send SIGTERM to all; kill those that run after STOP_TIMEOUT seconds or `kill_now`."""
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
    """Return an event that SIGTERM, SIGINT (Ctrl-C) and SIGHUP (terminal closed) set from now on.

    A second signal calls `kill_now`.
    """
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            children.kill_now()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    return stop


def repo2hub_command(*arguments: str) -> list[str]:
    """Return the command line that runs a `repo2hub` command with this Python interpreter.

    With -P, because `python -m` otherwise imports from the current folder first, which may contain a `db` or
    `base`.
    """
    return [sys.executable, "-P", "-m", "repo2hub", *arguments]


def is_healthy(address: str) -> bool:
    """Return whether a web process answers at its address, base path included."""
    with suppress(requests.RequestException), direct_session() as session:
        return session.get(f"{address.rstrip('/')}/health", timeout=2).ok
    return False


def wait_until_healthy(address: str, children: ChildProcesses, stop: threading.Event | None = None) -> bool:
    """Wait for the web process. Return False if a child ended, `stop` was set or a minute has passed."""
    stop = stop or threading.Event()
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline and children.exited_child() is None and not stop.is_set():
        if is_healthy(address):
            return True
        stop.wait(_POLL_INTERVAL)
    return False


def wait_for_stop_or_exit(children: ChildProcesses, stop: threading.Event) -> tuple[str, int] | None:
    """Wait until `stop` is set, and return None, or until a child ends, and return its name and exit status."""
    while not stop.wait(_POLL_INTERVAL):
        exited_child = children.exited_child()
        if exited_child is not None:
            return exited_child
    return None
