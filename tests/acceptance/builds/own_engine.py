"""A container engine of a test's own, which may stop and run out of space while the machine's engine goes on.

It shares nothing with the machine's engine: it has its own socket, folders and control groups, and namespaces for
its network and its mounts. (A second engine on the machine's network takes away the first one's bridge.) Its data
are on a small tmpfs, so that its disk can be full.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import docker

from tests.conftest import ROOT

AS_ROOT = str(ROOT / "machine" / "as-root")


_SILENT_SERVER = """
import fcntl, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
with socket.create_server(("127.0.0.1", 5000)):
    print("listening", flush=True)
    sys.stdin.read()
"""


def as_root(*command: str) -> None:
    """Run a command as root; a test that may not, fails with what would help."""
    done = subprocess.run(
        [AS_ROOT, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"this test needs root for `{' '.join(command)}`: {done.stderr}"


@dataclass
class Disk:
    """A small disk (tmpfs) that everybody may write to; a context manager."""

    megabytes: int
    folder: Path = field(init=False)

    def __enter__(self) -> Self:
        # Not in pytest's folder, which it removes with whatever is mounted there.
        self.folder = Path(tempfile.mkdtemp(prefix="r2htest-disk-"))
        options = f"size={self.megabytes}m,mode=1777"
        as_root("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder))
        return self

    def __exit__(self, *_exc: object) -> None:
        as_root("umount", str(self.folder))
        self.folder.rmdir()


@dataclass
class OwnEngine:
    """A second dockerd with a data folder of so many megabytes; to be used as a context manager."""

    megabytes: int
    folder: Path = field(init=False)

    @property
    def host(self) -> str:
        """What DOCKER_HOST has to be."""
        return f"unix://{self.folder}/docker.sock"

    @property
    def cgroup(self) -> str:
        """The name of the control group that all its containers and build steps are below."""
        return self.folder.name

    def __enter__(self) -> Self:
        # Not pytest's folder: the path of a socket may have no more than 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="r2htest-engine-"))
        (self.folder / "tmp").mkdir()  # the archives that are loaded are not to fill the disk
        (self.folder / "daemon.json").write_text("{}")
        self._disk = Disk(self.megabytes).__enter__()
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()
        self._disk.__exit__()
        as_root("rm", "-rf", str(self.folder))
        groups = f"find /sys/fs/cgroup -depth -type d -path '*/{self.cgroup}*'"
        as_root("sh", "-c", f"for group in $({groups}); do rmdir $group; done")

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [AS_ROOT, "env", f"DOCKER_TMPDIR={self.folder}/tmp"]
        command += ["unshare", "--net", "--mount", "dockerd", "--log-level=warn", f"--host={self.host}"]
        places = {"config-file": "daemon.json", "exec-root": "run", "pidfile": "pid"}
        command += [f"--{option}={self.folder}/{name}" for option, name in places.items()]
        command += [f"--data-root={self._disk.folder}", f"--cgroup-parent=/{self.cgroup}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not self.answers():
            assert self._process.poll() is None and time.monotonic() < deadline, self.log
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop it, as an admin does."""
        if self._process.poll() is None:
            as_root("kill", self._pid)
        self._wait()

    def crash(self) -> None:
        """End it at once, as a lack of memory does."""
        as_root("kill", "-KILL", self._pid)
        self._wait()
        # Where nobody reaps orphans, the next dockerd would take the dead containerd for a living one.
        as_root("rm", str(self._containerd))

    def _wait(self) -> None:
        """Wait until its containerd is gone, too."""
        self._process.wait(timeout=60)
        deadline = time.monotonic() + 60
        while self._lives(self._containerd):
            assert time.monotonic() < deadline, f"containerd does not end: {self.log}"
            time.sleep(0.1)

    @property
    def _containerd(self) -> Path:
        return self.folder / "run" / "containerd" / "containerd.pid"

    @property
    def _pid(self) -> str:
        return (self.folder / "pid").read_text()

    def _lives(self, pidfile: Path) -> bool:
        with suppress(OSError):
            state = Path("/proc", pidfile.read_text(), "stat").read_text().rpartition(")")[2].split()[0]
            return state not in "ZX"
        return False

    def answers(self) -> bool:
        asked = ["docker", "--host", self.host, "version"]
        return subprocess.run(asked, capture_output=True, timeout=60, check=False).returncode == 0

    def client(self) -> docker.DockerClient:
        """Return a connection, to be closed; DockerException where it does not answer."""
        return docker.DockerClient(base_url=self.host, version="auto", timeout=60)

    def load(self, image: str) -> None:
        """Copy an image of the machine's engine into this one."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as save:
            subprocess.run(
                ["docker", "--host", self.host, "load"], stdin=save.stdout, check=True, timeout=300
            )

    @contextmanager
    def silent_server(self) -> Iterator[str]:
        """Run a server in the engine's network that takes connections and never answers; its URL."""
        inside = [AS_ROOT, "nsenter", f"--target={self._pid}", "--net"]
        program = [*inside, sys.executable, "-c", _SILENT_SERVER]
        with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None and server.stdout.readline()
            yield "http://127.0.0.1:5000"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()[-4000:]
