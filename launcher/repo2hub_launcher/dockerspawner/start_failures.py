"""Why a container of somebody's image is no server: what the hub itself would call a time-out, in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tornado.httpclient import AsyncHTTPClient

START_IS_HIDDEN = (
    "The volume at {mount} hides this image's `start` script, without which its server cannot start. The hub's "
    "admin can mount the volume elsewhere, or have images built with REPO2HUB_REPO_DIR=/srv/repo."
)
REPOSITORY_IS_HIDDEN = (
    "The volume at {mount} hides the repository's files; its packages are there. The hub's admin can mount the "
    "volume elsewhere, or have images built with REPO2HUB_REPO_DIR=/srv/repo."
)
_MISSING = (
    "it has no {program}, the program of a hub's server. Add jupyterhub to the repository's packages; in a "
    "Dockerfile: RUN pip install jupyterhub jupyterlab."
)


@dataclass(frozen=True, slots=True)
class HiddenPaths:
    """What a volume hides of an image: its mount point, where it hides the repository, and whether `start` too."""

    mount: str | None = None
    start: bool = False


def find_hidden_paths(mounts: Sequence[str], environment: Sequence[str]) -> HiddenPaths:
    """Return what volumes at `mounts` hide of an image that repo2docker made, by the image's own variables."""
    values = dict(line.split("=", 1) for line in environment if "=" in line)
    start, repository = values.get("R2D_ENTRYPOINT"), values.get("REPO_DIR")
    for mount in mounts:
        if start and PurePosixPath(start).is_relative_to(mount):
            return HiddenPaths(mount, start=True)
        if repository and PurePosixPath(repository).is_relative_to(mount):
            return HiddenPaths(mount)
    return HiddenPaths()


def explain_start_error(text: str, command: Sequence[str]) -> str | None:
    """Return what the engine's refusal to start a container means, None where it is about something else."""
    if "executable file not found" in text or "no such file or directory" in text:
        return _MISSING.format(program=_program(command))
    return None


def explain_exit(status: str, log: str, command: Sequence[str]) -> str:
    """Return why a container has ended, by its last words."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    last = lines[-1][:300] if lines else "it said nothing"
    program = _program(command)
    if any(program in line and "not found" in line for line in lines):
        return _MISSING.format(program=program)
    return f"its server ended while it started (status {status.removeprefix('ExitCode=')[:20]}): {last}"


async def is_responding(url: str) -> bool:
    """Say whether a server answers, whatever it says."""
    try:
        answer = await AsyncHTTPClient().fetch(
            url, raise_error=False, connect_timeout=2, request_timeout=2, follow_redirects=False
        )
    except Exception:  # each of Tornado's clients has its own errors for this
        return False
    return answer.code < 500


def _program(command: Sequence[str]) -> str:
    return command[0] if command else "jupyterhub-singleuser"
