"""Child processes are stopped in every case."""

import os
import sys
from pathlib import Path

import pytest

from repo2hub.startup.child_processes import ChildProcesses
from tests.repo2hub.command_line import wait_until

IGNORES_SIGTERM = """
import pathlib, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
signal.pause()
"""


def test_a_child_that_has_ended_is_returned_with_its_status() -> None:
    with ChildProcesses() as children:
        children.start("sleeping", [sys.executable, "-c", "import time; time.sleep(600)"], os.environ)
        assert children.exited_child() is None
        children.start("failed", [sys.executable, "-c", "raise SystemExit(3)"], os.environ)
        wait_until(lambda: children.exited_child() is not None)
        assert children.exited_child() == ("failed", 3)


def test_a_child_that_ignores_sigterm_is_killed_with_kill_now(tmp_path: Path) -> None:
    ready, output = tmp_path / "ready", tmp_path / "log"
    with ChildProcesses() as children:
        children.start("deaf", [sys.executable, "-c", IGNORES_SIGTERM, str(ready)], os.environ, output)
        wait_until(ready.exists)
        children.kill_now()
        children.stop()
        assert children.exited_child() == ("deaf", -9)


def test_children_are_stopped_after_an_exception() -> None:
    children = ChildProcesses()
    with pytest.raises(RuntimeError), children:
        children.start("sleeping", [sys.executable, "-c", "import time; time.sleep(600)"], os.environ)
        raise RuntimeError
    assert children.exited_child() == ("sleeping", -15)
