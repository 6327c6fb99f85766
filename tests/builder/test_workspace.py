"""A builder's private folders: gone with their build, whatever is in them, and with a builder that was killed."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from builder import workspace
from builder.workspace import Workspaces, builder_secret

# A builder that runs a process in a build's folder, prints its process id, and is then killed.
KILLED = """
import os, subprocess, sys
from pathlib import Path
from builder.workspace import Workspaces
with Workspaces(Path(sys.argv[1])).open("build-1") as folder:
    child = subprocess.Popen(["sleep", "600"], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    sys.stdin.read()
"""


def left(data: Path) -> list[str]:
    return [path.name for path in (data / "work").iterdir()]


def test_a_folder_is_gone_with_its_build_even_one_without_permissions(tmp_path: Path) -> None:
    workspaces = Workspaces(tmp_path)
    with pytest.raises(ZeroDivisionError), workspaces.open("build-1") as folder:
        (folder / "source" / "deep").mkdir(parents=True)
        (folder / "source" / "deep" / "file").write_text("text")
        (folder / "source" / "deep").chmod(0)
        (folder / "source").chmod(0o500)
        raise ZeroDivisionError
    assert not folder.exists()
    workspaces.close()
    assert left(tmp_path) == []


@pytest.mark.parametrize("reached", ["as it is", "through a link"])
def test_the_next_builder_kills_the_processes_and_removes_the_folders_of_a_killed_one(
    tmp_path: Path, reached: str
) -> None:
    data = tmp_path / "data"
    if reached == "through a link":
        (tmp_path / "disk").mkdir()
        data.symlink_to(tmp_path / "disk")
    argv = [sys.executable, "-c", KILLED, str(data)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) as killed:
        assert killed.stdout is not None
        child = int(killed.stdout.readline())
        live_builders = Workspaces(data)
        assert len(left(data)) == 2, "it lives, so it is left alone"
        live_builders.close()
        killed.kill()
    folder = Path(f"/proc/{child}/cwd").readlink()
    assert folder.is_relative_to(data.resolve())
    Workspaces(data).close()
    assert left(data) == []
    assert not Path(f"/proc/{child}/cwd").exists()


def test_a_builder_that_starts_while_another_does_does_not_take_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    others: list[Workspaces | None] = []

    def late(descriptor: int, how: int) -> None:
        """Let another builder start between the making of our lock's file and its locking."""
        if how == fcntl.LOCK_EX and not others:
            others.append(None)
            others[0] = Workspaces(tmp_path)
        lock(descriptor, how)

    monkeypatch.setattr(workspace.fcntl, "flock", late)
    mine = Workspaces(tmp_path)
    with mine.open("build-1") as folder:
        assert folder.is_dir()
    assert len(mine.live_builders()) == 2


def test_the_secret_of_the_caches_is_made_once_and_for_nobody_else(tmp_path: Path) -> None:
    key = builder_secret(tmp_path / "data")
    assert len(key) == 32
    assert builder_secret(tmp_path / "data") == key != builder_secret(tmp_path / "other")
    assert (tmp_path / "data" / "cache.key").stat().st_mode & 0o077 == 0
    assert os.listdir(tmp_path / "data") == ["cache.key"]
