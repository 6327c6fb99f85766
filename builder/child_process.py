"""One child process, its lines, and its certain end.

git and repo2docker start whole trees of processes: repo2docker runs docker, which runs buildx. Killing the
first of them leaves the others running, so a child gets a session of its own and is stopped with all of it:
SIGINT to the group, on which repo2docker also cleans up, then SIGKILL to whatever is left.
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

#: Longer lines are cut into pieces of this many characters.
MAX_LINE = 64 * 1024
#: How often the stop signal and the limits are looked at while the child is silent, in seconds.
_POLL_INTERVAL = 0.1
#: How long a grandchild that outlives the child may keep the pipe open, in seconds.
_DRAIN_TIMEOUT = 2.0


class StopSignal:
    """Says, from any thread, that the build is to stop; the first reason stays."""

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

    def wait(self, timeout: float | None = None) -> bool:
        """Wait up to `timeout` seconds; True when the signal is set."""
        return self._event.wait(timeout)

    def raise_if_set(self) -> None:
        if self._event.is_set() and self._stop_reason is not None:
            raise Stopped(self._stop_reason)


class LineSplitter:
    """Turn bytes into lines in bounded memory.

    A line ends at `\\n`, `\\r` (progress bars) or `\\r\\n`. Bytes that are no UTF-8 become U+FFFD.
    """

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._max_line = max_line
        self._rest = ""

    def feed(self, data: bytes, *, final: bool = False) -> Iterator[str]:
        """Yield the lines that `data` completes; with `final`, also the unfinished last one."""
        text = self._rest + self._decoder.decode(data, final)
        # A "\r" at the very end may be the first half of "\r\n": it waits for the next byte.
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
    """Seconds a child may take in all, and without a word."""

    total: float
    idle: float
    spent: float

    def check(self, total: float, idle: float) -> None:
        if self.spent + total > self.total:
            raise UserError(
                "time_limit",
                f"The build took longer than {self.total:g} s, the limit of this service "
                "(REPO2HUB_BUILD_TIMEOUT), and was stopped.",
                reason=Reason.TIME_LIMIT,
            )
        if idle > self.idle:
            raise UserError(
                "idle_limit",
                f"The build printed nothing for {self.idle:g} s, the limit of this service "
                "(REPO2HUB_BUILD_IDLE_TIMEOUT), and was stopped.",
                reason=Reason.TIME_LIMIT,
            )


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    on_line: Callable[[str], None],
    stop: StopSignal,
    total_limit: float,
    idle_limit: float,
    grace: float = 10,
    keep_stdout: bool = True,
    spent: float = 0,
) -> int:
    """Run a command to its end and return its exit code (negative: the signal that ended it).

    `on_line` gets each line of stderr, and of stdout too unless `keep_stdout` is false, in the order written.
    Whatever happens, an exception of `on_line` included, nothing of the child's session is left afterwards.
    Raises Stopped when `stop` is set, and UserError (TIME_LIMIT) after `total_limit` seconds in all
    (of which `spent` went to earlier commands) or `idle_limit` seconds without a byte of output.
    OSError when the command cannot be started.
    """
    stop.raise_if_set()
    process = subprocess.Popen(
        argv,
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if keep_stdout else subprocess.DEVNULL,
        stderr=subprocess.STDOUT if keep_stdout else subprocess.PIPE,
        start_new_session=True,
    )
    pipe = process.stdout if keep_stdout else process.stderr
    if pipe is None:  # pragma: no cover
        raise RuntimeError("Popen made no pipe")
    with pipe:
        try:
            _follow(process, pipe.fileno(), on_line, stop, _Limits(total_limit, idle_limit, spent))
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
    """Hand on lines until the pipe is closed and the child has ended, or a limit is met."""
    splitter = LineSplitter()
    os.set_blocking(pipe, False)
    started = heard = time.monotonic()
    ended_at: float | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            # Asked before the pipe is read: what the child wrote last is then surely seen.
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
    while not _wait_for_end(process, _POLL_INTERVAL):  # it closed its output, yet runs on
        stop.raise_if_set()
        limits.check(time.monotonic() - started, 0)


def _wait_for_end(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Wait for its end, which is mostly a moment after its output was closed."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _read(pipe: int) -> bytes | None:
    """Read what is there: None when nothing is, b"" when every writer has closed the pipe."""
    with suppress(BlockingIOError):
        return os.read(pipe, 65536)
    return None


def _end_session(process: "subprocess.Popen[bytes]", grace: float) -> None:
    """End what is left of the child's session, SIGINT first, and reap the child."""
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
    """Return the living processes of a session.

    Read from /proc, for two reasons: a job with a process group of its own does not hide there, and zombies do
    not count. Where the builder is process 1 of a container nobody reaps orphans, and `killpg(group, 0)` would
    find them for ever.
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
