"""Signals and ended child processes become exceptions, but only where the demo can be interrupted."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.interruptions import Interrupted, Interruptions
from repo2hub.output.errors import CommandFailed
from repo2hub.startup.child_processes import ChildProcesses
from tests.repo2hub.command_line import wait_until

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@pytest.fixture
def children() -> Iterator[ChildProcesses]:
    with ChildProcesses() as children:
        yield children


@pytest.fixture
def interruptions(children: ChildProcesses, tmp_path: Path) -> Iterator[Interruptions]:
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield Interruptions(children, tmp_path)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_is_raised_within_the_block(interruptions: Interruptions) -> None:
    with pytest.raises(Interrupted), interruptions.raised():
        interrupt()


def test_an_early_signal_is_raised_when_the_block_begins(interruptions: Interruptions) -> None:
    interrupt()
    with pytest.raises(Interrupted), interruptions.raised():
        pytest.fail("the block was entered")


def test_a_deferred_signal_is_raised_at_the_end_of_the_inner_block(interruptions: Interruptions) -> None:
    steps = []
    with pytest.raises(Interrupted), interruptions.raised():
        with interruptions.deferred():
            interrupt()
            steps.append("deferred")
        steps.append("after")
    assert steps == ["deferred"]


def test_a_signal_after_the_block_is_not_raised(interruptions: Interruptions) -> None:
    with interruptions.raised():
        pass
    interrupt()


def test_a_child_that_ends_is_reported_with_its_log(
    interruptions: Interruptions, children: ChildProcesses, tmp_path: Path
) -> None:
    children.start("web", [sys.executable, "-c", "raise SystemExit(3)"], os.environ)
    with pytest.raises(CommandFailed, match=f"`web` ended .* status 3.*{tmp_path}/web.log"):
        with interruptions.raised():
            wait_until(lambda: False)
