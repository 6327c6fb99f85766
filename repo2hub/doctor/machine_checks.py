"""What `repo2hub doctor` looks at on this machine: the programs, the container engine, the disk.

Each check returns a Finding and never raises for what it was made to find. It asks the very programs that a
build uses, with a time limit, and changes nothing.
"""

import getpass
import json
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from base.image_names import REPO2DOCKER_VERSION

COMMAND_TIMEOUT = 10.0
"""Seconds for one answer of a program."""
_GIB = 2**30
_RECOMMENDED_DISK, _MINIMUM_DISK = 10 * _GIB, _GIB


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """Works, but not for all, or not as it should."""
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One part: what is there, and unless that is well, what is wrong and the command that mends it."""

    part: str
    level: Level
    found: str
    problem: str | None = None
    fix: str | None = None


def ok(part: str, found: str) -> Finding:
    return Finding(part, Level.OK, found)


def warning(part: str, found: str, problem: str, fix: str | None) -> Finding:
    return Finding(part, Level.WARNING, found, problem, fix)


def broken(part: str, found: str, problem: str, fix: str | None) -> Finding:
    return Finding(part, Level.BROKEN, found, problem, fix)


@dataclass(frozen=True)
class CommandResult:
    """What a program said; `status` is None where there is no such program, or it did not answer in time."""

    status: int | None
    out: str
    err: str


def run_command(*argv: str, limit: float = COMMAND_TIMEOUT) -> CommandResult:
    """Run a program that only reads."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return CommandResult(None, "", f"no answer within {limit:g} s")
    except OSError as exc:
        return CommandResult(None, "", exc.strerror or str(exc))
    return CommandResult(done.returncode, done.stdout.strip(), done.stderr.strip())


def python() -> Finding:
    return ok("Python", f"{sys.version.split()[0]} ({sys.executable})")


def git() -> Finding:
    path = shutil.which("git")
    if path is None:
        return broken("git", "missing", "refs cannot be looked up", "sudo apt-get install git")
    said = run_command("git", "--version")
    if said.status != 0:
        return broken("git", path, said.err or "git does not run", "sudo apt-get install --reinstall git")
    return ok("git", f"{said.out.removeprefix('git version ')} ({path})")


def engine() -> Finding:
    """Say which client and which server; without a server nothing can be built."""
    path = shutil.which("docker")
    if path is None:
        return broken("engine", "no docker client", "nothing can be built", "sudo apt-get install docker.io")
    said = run_command("docker", "version", "--format", "json")
    versions = _json(said.out)
    client = f"client {_get_nested(versions, 'Client', 'Version') or 'unknown'} ({path})"
    server = _get_nested(versions, "Server", "Version")
    if said.status == 0 and server:
        return ok("engine", f"{client}, server {server} ({_engine_address()})")
    if "permission denied" in said.err:
        fix = f"sudo usermod -aG docker {getpass.getuser()}  (then log in again)"
        return broken("engine", client, "an engine runs, but this user may not use it", fix)
    return broken(
        "engine", client, f"no engine answers at {_engine_address()}", "sudo systemctl start docker"
    )


def _engine_address() -> str:
    if address := os.environ.get("DOCKER_HOST"):
        return address
    said = run_command("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    return said.out if said.status == 0 and said.out else "the default socket"


def buildx() -> Finding:
    said = run_command("docker", "buildx", "version")
    if said.status != 0:
        fix = "sudo apt-get install docker-buildx  (Debian 12: machine/docker-client of repo2hub's source)"
        return broken("buildx", "missing", "repo2docker builds with docker buildx and nothing else", fix)
    return ok("buildx", [*said.out.split(), "", "unknown"][1])


def repo2docker() -> Finding:
    fix = f"pip install 'jupyter-repo2docker=={REPO2DOCKER_VERSION}'"
    try:
        found = version("jupyter-repo2docker")
    except PackageNotFoundError:
        return broken("repo2docker", "missing", "nothing can be built", fix)
    if found != REPO2DOCKER_VERSION:
        problem = f"images are named for {REPO2DOCKER_VERSION}, so a lookup would promise what was not built"
        return broken("repo2docker", found, problem, fix)
    return ok("repo2docker", found)


def data_folder(folder: Path) -> Finding:
    """The data folder, or the nearest one that exists above it."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        return broken("data folder", str(folder), f"{existing} is no folder", f"ls -l {existing}")
    if not os.access(existing, os.W_OK | os.X_OK):
        fix = f"sudo install -d -o {getpass.getuser()} {folder}"
        return broken("data folder", str(folder), f"{existing} is not writable", fix)
    if existing == folder and (readable := _readable_to_others(folder)):
        problem = f"others on this machine can read {readable}, logs of private repositories among it"
        return warning("data folder", str(folder), problem, f"chmod 700 {folder}")
    found = str(folder) if existing == folder else f"{folder} (made at the first start)"
    return _free_space("data folder", found, existing)


def _readable_to_others(folder: Path) -> Path | None:
    """Return the database, where neither the folder nor the file keeps others out."""
    database = folder / "repo2hub.db"
    if not database.exists():
        return None
    is_open = folder.stat().st_mode & stat.S_IXOTH and database.stat().st_mode & stat.S_IROTH
    return database if is_open else None


def engine_disk() -> Finding | None:
    """The disk of the engine's images; None where the engine is another machine's or does not answer."""
    said = run_command("docker", "info", "--format", "{{.DockerRootDir}}")
    folder = Path(said.out) if said.status == 0 and said.out else None
    return _free_space("image disk", str(folder), folder) if folder is not None and folder.is_dir() else None


def _free_space(part: str, found: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    found = f"{found}, {free / _GIB:.1f} GiB free"
    if free >= _RECOMMENDED_DISK:
        return ok(part, found)
    fix = "docker buildx prune" if part == "image disk" else f"df -h {folder}"
    level = broken if free < _MINIMUM_DISK else warning
    return level(part, found, "an image may need several GiB", fix)


def base_image(name: str) -> Finding:
    """The image that builds begin with: in the engine, or in a registry that answers."""
    if run_command("docker", "image", "inspect", "--format", "{{.Id}}", name).status == 0:
        return ok("base image", f"{name} (in the engine)")
    said = run_command("docker", "buildx", "imagetools", "inspect", name)
    if said.status == 0:
        return ok("base image", f"{name} (can be pulled)")
    problem = f"neither in the engine nor to be had from its registry: {_last_line(said.err)}"
    fix = f"docker pull {name}  (no registry in reach? machine/base-image of repo2hub's source makes one)"
    return broken("base image", name, problem, fix)


def uv_buildpack(base: str) -> Finding:
    """The uv buildpack, which installs into the Python of the base image."""
    # No network, and a name that docker itself would not start with an option.
    said = run_command(
        "docker", "run", "--rm", "--network=none", "--pull=never", "--entrypoint=python3", base, "-V"
    )
    if said.status == 0:
        return ok("uv", f"on {said.out} of the base image")
    if run_command("docker", "image", "inspect", "--format", "{{.Id}}", base).status != 0:
        return warning("uv", "not tried", "the base image is not in the engine yet", f"docker pull {base}")
    problem = f"the base image has no python3 to install into: {_last_line(said.err)}"
    return broken("uv", base, problem, "export REPO2HUB_BUILDPACKS=standard")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _get_nested(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _last_line(text: str) -> str:
    return text.splitlines()[-1][:200] if text else "no reason given"
