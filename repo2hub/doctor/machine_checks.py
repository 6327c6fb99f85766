"""The checks of `repo2hub doctor` on this machine: programs, container engine and disk.

Each check runs the programs that a build uses, with a timeout, and changes nothing.
"""

import getpass
import json
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from base.image_names import REPO2DOCKER_VERSION
from repo2hub.doctor.finding import Finding, broken, ok, warning
from repo2hub.output.error_text import last_line

COMMAND_TIMEOUT = 10.0
"""Seconds that a program may take."""
_GIB = 2**30
_RECOMMENDED_DISK, _MINIMUM_DISK = 10 * _GIB, _GIB


@dataclass(frozen=True)
class CommandResult:
    """The output of a program. `status` is None if it does not exist or timed out; `err` then says which."""

    status: int | None
    out: str
    err: str


def run_command(*argv: str, timeout: float = COMMAND_TIMEOUT) -> CommandResult:
    """Run a program that changes nothing, and return its output. Raises nothing."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return CommandResult(None, "", f"no answer within {timeout:g} s")
    except OSError as exc:
        return CommandResult(None, "", exc.strerror or str(exc))
    return CommandResult(done.returncode, done.stdout.strip(), done.stderr.strip())


def python() -> Finding:
    return ok("Python", f"{sys.version.split()[0]} ({sys.executable})")


def git() -> Finding:
    path = shutil.which("git")
    if path is None:
        problem = "git is not installed, so refs cannot be looked up and repositories cannot be fetched"
        return broken("git", "missing", problem, "sudo apt-get install git")
    result = run_command("git", "--version")
    if result.status != 0:
        problem = f"git does not run, so repositories cannot be fetched: {last_line(result.err)}"
        return broken("git", path, problem, "sudo apt-get install --reinstall git")
    return ok("git", f"{result.out.removeprefix('git version ')} ({path})")


def engine() -> Finding:
    """Check that a container engine answers, and report the versions of client and engine."""
    path = shutil.which("docker")
    if path is None:
        problem = "the docker client is not installed, so nothing can be built"
        return broken("engine", "missing", problem, "sudo apt-get install docker.io")
    result = run_command("docker", "version", "--format", "json")
    versions = _json(result.out)
    client = f"client {_get_nested(versions, 'Client', 'Version') or 'unknown'} ({path})"
    server = _get_nested(versions, "Server", "Version")
    if result.status == 0 and server:
        return ok("engine", f"{client}, server {server} ({_engine_address()})")
    if "permission denied" in result.err:
        fix = f"sudo usermod -aG docker {getpass.getuser()}  (then log in again)"
        return broken("engine", client, "this user may not use the engine, so nothing can be built", fix)
    problem = f"no engine answers at {_engine_address()}, so nothing can be built"
    return broken("engine", client, problem, "sudo systemctl start docker")


def _engine_address() -> str:
    if address := os.environ.get("DOCKER_HOST"):
        return address
    result = run_command("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    return result.out if result.status == 0 and result.out else "the default socket"


def buildx() -> Finding:
    result = run_command("docker", "buildx", "version")
    if result.status != 0:
        fix = "sudo apt-get install docker-buildx  (on Debian 12: machine/docker-client of repo2hub's source)"
        return broken("buildx", "missing", "repo2docker needs docker buildx, so nothing can be built", fix)
    return ok("buildx", [*result.out.split(), "", "unknown"][1])


def repo2docker() -> Finding:
    fix = f"pip install 'jupyter-repo2docker=={REPO2DOCKER_VERSION}'"
    try:
        found = version("jupyter-repo2docker")
    except PackageNotFoundError:
        return broken("repo2docker", "missing", "repo2docker is not installed, so nothing can be built", fix)
    if found != REPO2DOCKER_VERSION:
        problem = (
            f"images are named for {REPO2DOCKER_VERSION}, so those built here would not match their names"
        )
        return broken("repo2docker", found, problem, fix)
    return ok("repo2docker", found)


def data_folder(folder: Path) -> Finding:
    """Check the data folder or, if it does not exist yet, its nearest existing parent."""
    part = "data folder"
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        return broken(
            part, str(folder), f"{existing} is not a folder, so nothing can start", f"ls -l {existing}"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        fix = f"sudo install -d -o {getpass.getuser()} {folder}"
        return broken(part, str(folder), f"{existing} is not writable, so nothing can start", fix)
    if existing == folder and (readable := _find_readable_database(folder)):
        problem = f"other users can read {readable}, which contains the logs of private repositories"
        return warning(part, str(folder), problem, f"chmod 700 {folder}")
    found = str(folder) if existing == folder else f"{folder} (created at the first start)"
    return _check_free_space(part, found, existing)


def _find_readable_database(folder: Path) -> Path | None:
    """Return the database if other users can read it, or None."""
    database = folder / "repo2hub.db"
    if not database.exists():
        return None
    is_readable = folder.stat().st_mode & stat.S_IXOTH and database.stat().st_mode & stat.S_IROTH
    return database if is_readable else None


def engine_disk() -> Finding | None:
    """Check the disk of the engine's images. Return None if the engine is remote or does not answer."""
    result = run_command("docker", "info", "--format", "{{.DockerRootDir}}")
    folder = Path(result.out) if result.status == 0 and result.out else None
    return (
        _check_free_space("image disk", str(folder), folder)
        if folder is not None and folder.is_dir()
        else None
    )


def _check_free_space(part: str, found: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    found = f"{found}, {free / _GIB:.1f} GiB free"
    if free >= _RECOMMENDED_DISK:
        return ok(part, found)
    fix = "docker buildx prune" if part == "image disk" else f"df -h {folder}"
    level = broken if free < _MINIMUM_DISK else warning
    return level(part, found, "builds may fail, because an image can need several GiB", fix)


def base_image(name: str) -> Finding:
    """Check that the base image is in the engine or can be pulled."""
    if run_command("docker", "image", "inspect", "--format", "{{.Id}}", name).status == 0:
        return ok("base image", f"{name} (in the engine)")
    result = run_command("docker", "buildx", "imagetools", "inspect", name)
    if result.status == 0:
        return ok("base image", f"{name} (can be pulled)")
    problem = (
        f"it is not in the engine and cannot be pulled, so nothing can be built: {last_line(result.err)}"
    )
    fix = f"docker pull {name}  (without a registry: machine/base-image of repo2hub's source makes one)"
    return broken("base image", name, problem, fix)


def uv_buildpack(base: str) -> Finding:
    """Check that the base image has the Python that the uv buildpack installs into."""
    # --entrypoint=... as one argument, so that the image's name can never be taken for an option.
    result = run_command(
        "docker", "run", "--rm", "--network=none", "--pull=never", "--entrypoint=python3", base, "-V"
    )
    if result.status == 0:
        return ok("uv", f"uses {result.out} of the base image")
    if run_command("docker", "image", "inspect", "--format", "{{.Id}}", base).status != 0:
        problem = "the base image is not in the engine yet, so the uv buildpack could not be checked"
        return warning("uv", "not checked", problem, f"docker pull {base}")
    problem = f"the base image has no python3, so the uv buildpack fails: {last_line(result.err)}"
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
