"""Run one child process, pass on its lines, and leave nothing of it running.

git and repo2docker start trees of processes: repo2docker runs docker, which runs buildx. Killing the first process
leaves the others running, so each child gets a session of its own, and the whole session is stopped: SIGINT to the
group, on which repo2docker also cleans up, then SIGKILL to the rest.
"""

import codecs
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Stopped, StopReason, UserError
from db.status import Reason

MAX_LINE = 64 * 1024
"""Longer lines are cut into pieces of this many characters."""

_POLL_INTERVAL = 0.1  # seconds between two checks of the stop signal and the timeouts
_DRAIN_TIMEOUT = 2.0  # seconds that a grandchild which outlives the child may keep the pipe open


class StopSignal:
    """Stops a build from any thread; the first reason wins."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._stop_reason: StopReason | None = None

    @property
    def stop_reason(self) -> StopReason | None:
        return self._stop_reason

    def set(self, stop_reason: StopReason) -> None:
        with self._lock:
            if self._stop_reason is None:
                self._stop_reason = stop_reason
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def raise_if_set(self) -> None:
        if self._event.is_set() and self._stop_reason is not None:
            raise Stopped(self._stop_reason)


class LineSplitter:
    """Splits bytes into lines in bounded memory.

    A line ends at `\\n`, `\\r` (progress bars) or `\\r\\n`. Invalid UTF-8 becomes U+FFFD.
    """

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._max_line = max_line
        self._rest = ""

    def feed(self, data: bytes, *, final: bool = False) -> Iterator[str]:
        """Yield the lines that `data` completes; with `final`, also the incomplete last one."""
        text = self._rest + self._decoder.decode(data, final)
        # A "\r" at the end may be the first half of "\r\n": keep it until the next byte.
        held = "\r" if text.endswith("\r") and not final else ""
        *lines, self._rest = text.removesuffix(held).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in lines:
            yield from self._pieces(line)
        while len(self._rest) > self._max_line:
            yield self._rest[: self._max_line]
            self._rest = self._rest[self._max_line :]
        self._rest += held
        if final and self._rest:
            yield self._rest
            self._rest = ""

    def _pieces(self, line: str) -> Iterator[str]:
        for start in range(0, max(len(line), 1), self._max_line):
            yield line[start : start + self._max_line]


@dataclass(frozen=True)
class _Limits:
    """Seconds that a child may run in total, and without output."""

    total: float
    idle: float
    spent: float

    def check(self, total: float, idle: float) -> None:
        if self.spent + total > self.total:
            raise UserError(
                "time_limit",
                f"The build was stopped after {self.total:g} s, the time limit of this service "
                "(REPO2HUB_BUILD_TIMEOUT). Make its slowest step shorter.",
                reason=Reason.TIME_LIMIT,
            )
        if idle > self.idle:
            raise UserError(
                "idle_limit",
                f"The build was stopped because it printed nothing for {self.idle:g} s, the limit of this service "
                "(REPO2HUB_BUILD_IDLE_TIMEOUT). Let the silent step print its progress.",
                reason=Reason.TIME_LIMIT,
            )


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    on_line: Callable[[str], None],
    stop: StopSignal,
    timeout: float,
    idle_timeout: float,
    grace: float = 10,
    spent: float = 0,
) -> int:
    """Run a command and return its exit code (negative: the signal that ended it).

    Calls `on_line` with each line of stdout and stderr in the order written. Whatever happens, including an
    exception of `on_line`, no process of the child's session remains. Raises Stopped when `stop` is set;
    UserError (TIME_LIMIT) after `timeout` seconds in total, of which earlier commands took `spent`, or after
    `idle_timeout` seconds without output; OSError if the command cannot be started.
    """
    stop.raise_if_set()
    process = subprocess.Popen(
        argv,
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101 -- it is a pipe
    with process.stdout as pipe:
        try:
            _follow(process, pipe.fileno(), on_line, stop, _Limits(timeout, idle_timeout, spent))
        finally:
            _end_session(process, grace)
    return process.returncode


def _follow(
    process: "subprocess.Popen[bytes]",
    pipe: int,
    on_line: Callable[[str], None],
    stop: StopSignal,
    limits: _Limits,
) -> None:
    """Pass on lines until the pipe is closed and the child has ended. Raises at a timeout or stop."""
    splitter = LineSplitter()
    os.set_blocking(pipe, False)
    started = heard = time.monotonic()
    ended_at: float | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            # Polled before the pipe is read, so that the last output is always seen.
            ended = process.poll() is not None
            data = _read(pipe) if selector.select(_POLL_INTERVAL) else None
            now = time.monotonic()
            for line in splitter.feed(data or b""):
                on_line(line)
            heard = now if data else heard
            stop.raise_if_set()
            limits.check(now - started, now - heard)
            ended_at = ended_at or (now if ended else None)
            if data == b"" or (ended_at and (not data or now - ended_at > _DRAIN_TIMEOUT)):
                break
    for line in splitter.feed(b"", final=True):
        on_line(line)
    while not _wait_for_end(process, _POLL_INTERVAL):  # it closed its output but still runs
        stop.raise_if_set()
        limits.check(time.monotonic() - started, 0)


def _wait_for_end(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Wait for the child to end; return whether it did."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _read(pipe: int) -> bytes | None:
    """Return the available bytes: None if there are none yet, b"" if every writer has closed the pipe."""
    with suppress(BlockingIOError):
        return os.read(pipe, 65536)
    return None


def _end_session(process: "subprocess.Popen[bytes]", grace: float) -> None:
    """End the rest of the child's session, SIGINT first, and reap the child."""
    if _session_processes(process.pid):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and _session_processes(process.pid):
            process.poll()
            time.sleep(_POLL_INTERVAL / 5)
    while left := _session_processes(process.pid):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.poll()
        time.sleep(_POLL_INTERVAL / 5)
    process.wait()


def _session_processes(session: int) -> list[int]:
    """Return the live processes of a session.

    Reads /proc, for two reasons: it includes jobs with a process group of their own, and it can leave out
    zombies. Where the builder is process 1 of a container nobody reaps orphans, and `killpg(group, 0)` would
    find them forever.
    """
    found = []
    for entry in os.listdir("/proc"):
        with suppress(OSError, ValueError, IndexError):
            # proc(5): "pid (name) state ppid pgrp session ..."; the name may hold spaces and brackets.
            stat = Path("/proc", str(int(entry)), "stat").read_bytes()
            state, _parent, _group, of_session = stat.rpartition(b")")[2].split()[:4]
            if int(of_session) == session and state not in b"ZX":
                found.append(int(entry))
    return found
