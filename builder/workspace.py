"""The builder's private folders: one for each build, removed with it, or after a crash by the next builder."""

import fcntl
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Workspaces:
    """A folder of this process below `data_dir/work`, held by a lock that ends with the process."""

    def __init__(self, data_dir: Path) -> None:
        # Resolved, as /proc shows the folders of processes.
        root = (data_dir / "work").resolve()
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.killed_builders = _remove_abandoned(root)
        """The names of killed builders of this data folder, which this one replaces."""
        self._folder, self._lock = _create_locked(root)

    @property
    def name(self) -> str:
        """The name of this process among the builders of its data folder: letters, digits, `-` and `_`."""
        return self._folder.name

    def live_builders(self) -> set[str]:
        """Return the names of the builders running on this data folder."""
        return {folder.name for folder in self._folder.parent.glob("builder-*") if _is_held(folder)}

    @contextmanager
    def open(self, name: str) -> Iterator[Path]:
        """Yield an empty folder for one build and remove it afterwards."""
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._folder))
        try:
            yield folder
        finally:
            _remove(folder)

    def close(self) -> None:
        """Remove this process's folder."""
        _remove(self._folder)
        os.close(self._lock)


def _create_locked(root: Path) -> tuple[Path, int]:
    """Return a new folder and its lock, held."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix="builder-", dir=root))
        lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "lock").exists():
            return folder, lock
        os.close(lock)  # another builder started at this moment, took it for abandoned and removed it


def _remove_abandoned(root: Path) -> list[str]:
    """Remove the folders of killed builders, whose locks are free, and return the builders' names.

    A killed builder could not end its child processes, so those that run in the folder are killed first.
    """
    killed = []
    for folder in root.glob("builder-*"):
        with suppress(OSError):
            lock = os.open(folder / "lock", os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                killed.append(folder.name)
                _kill_processes_in(folder)
                _remove(folder)
            finally:
                os.close(lock)
    return killed


def _is_held(folder: Path) -> bool:
    try:
        lock = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _kill_processes_in(folder: Path) -> None:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder):
                os.kill(int(process.name), signal.SIGKILL)


def _remove(folder: Path) -> None:
    def make_writable(_function: object, path: str, _error: object) -> None:
        # A repository may have folders without permissions.
        with suppress(OSError):
            parent = Path(path).parent
            parent.chmod(0o700)
            if not Path(path).is_symlink():
                Path(path).chmod(0o700)
            Path(path).unlink() if not Path(path).is_dir() else shutil.rmtree(path, ignore_errors=True)

    shutil.rmtree(folder, onerror=make_writable)


def builder_secret(data_dir: Path) -> bytes:
    """Return the data folder's secret for naming package caches and temporary tags; make it at the first call."""
    path = data_dir / "cache.key"
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):
        fresh = path.with_name(f"cache.key.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(fresh, path)  # atomic; fails if another process was first
        finally:
            fresh.unlink()
    return path.read_bytes()
