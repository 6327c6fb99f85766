"""Explain why a container does not become a server. The hub alone would only report a timeout."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tornado.httpclient import AsyncHTTPClient

START_IS_HIDDEN = (
    "The volume at {mount} hides this image's `start` script, so its server cannot start. The hub's admin can "
    "mount the volume elsewhere, or build images with REPO2HUB_REPO_DIR=/srv/repo."
)
REPOSITORY_IS_HIDDEN = (
    "The volume at {mount} hides the repository's files; its packages are available. The hub's admin can "
    "mount the volume elsewhere, or build images with REPO2HUB_REPO_DIR=/srv/repo."
)
_PROGRAM_MISSING = (
    "{program} is not installed in it. Add jupyterhub to the repository's packages; in a Dockerfile: "
    "RUN pip install jupyterhub jupyterlab."
)


@dataclass(frozen=True, slots=True)
class HiddenPaths:
    """The mount point of a volume that hides the repository, if any, and whether it hides `start` too."""

    mount: str | None = None
    start: bool = False


def find_hidden_paths(mounts: Sequence[str], environment: Sequence[str]) -> HiddenPaths:
    """Return which paths of a repo2docker image the volumes at `mounts` hide, by the image's environment."""
    values = dict(line.split("=", 1) for line in environment if "=" in line)
    start, repository = values.get("R2D_ENTRYPOINT"), values.get("REPO_DIR")
    for mount in mounts:
        if start and PurePosixPath(start).is_relative_to(mount):
            return HiddenPaths(mount, start=True)
        if repository and PurePosixPath(repository).is_relative_to(mount):
            return HiddenPaths(mount)
    return HiddenPaths()


def explain_start_error(text: str, command: Sequence[str]) -> str | None:
    """Explain the engine's error for a container whose command is missing; None for any other error."""
    if "executable file not found" in text or "no such file or directory" in text:
        return _PROGRAM_MISSING.format(program=_program(command))
    return None


def explain_exit(status: str, log: str, command: Sequence[str]) -> str:
    """Explain why a container has exited, by the end of its log."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    last = lines[-1][:300] if lines else "its log is empty"
    program = _program(command)
    if any(program in line and "not found" in line for line in lines):
        return _PROGRAM_MISSING.format(program=program)
    return f"its server exited during the start (status {status.removeprefix('ExitCode=')[:20]}): {last}"


async def is_responding(url: str) -> bool:
    """Return whether a server answers, with any status below 500."""
    try:
        response = await AsyncHTTPClient().fetch(
            url, raise_error=False, connect_timeout=2, request_timeout=2, follow_redirects=False
        )
    except Exception:  # each of Tornado's clients has its own exceptions for connection errors
        return False
    return response.code < 500


def _program(command: Sequence[str]) -> str:
    return command[0] if command else "jupyterhub-singleuser"
