"""Stopping the demo at any moment: on a signal, or if one of its processes ends."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from repo2hub.output.errors import CommandFailed
from repo2hub.startup.child_processes import ChildProcesses


class Interrupted(BaseException):
    """Ctrl-C or another signal to stop. Not an Exception, so that no handler takes it for a failure."""


class Interruptions:
    """Raises an exception when a signal arrives or a child process ends: once, and only within `raised`.

    What starts before that block and is cleaned up after it is therefore never interrupted half-way. A second
    signal kills the child processes.
    """

    def __init__(self, children: ChildProcesses, folder: Path) -> None:
        """Handle the signals of this process; those that arrive early are raised when `raised` begins."""
        self._children = children
        self._log_folder = folder
        self._may_raise = False
        self._signals = 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGCHLD, self._on_child)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise Interrupted or CommandFailed anywhere within the block."""
        try:
            self._allow()
            yield
        finally:
            self._may_raise = False

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within `raised`: raise nothing until the end of this block."""
        self._may_raise = False
        yield
        self._allow()

    def _allow(self) -> None:
        self._may_raise = True
        if self._signals:
            self._may_raise = False
            raise Interrupted
        self._on_child()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            self._children.kill_now()
        if self._may_raise:
            self._may_raise = False
            raise Interrupted

    def _on_child(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        exited_child = self._children.exited_child() if self._may_raise else None
        if exited_child is not None:
            self._may_raise = False
            name, status = exited_child
            log = self._log_folder / f"{name}.log"
            raise CommandFailed(f"`{name}` ended unexpectedly with exit status {status}. See its log: {log}")
