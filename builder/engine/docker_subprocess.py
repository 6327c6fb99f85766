"""What takes the engine long, asked for by a child process of our own.

docker-py blocks for as long as the engine or a registry does; a process can be stopped at any moment, and the
engine then ends what it was asked for. The credentials for registries are the builder's own docker configuration;
repo2docker's child process never sees them.
"""

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from builder import child_process
from builder.child_process import StopSignal
from builder.engine import docker_client
from builder.errors import InfrastructureError, UserError

_TIMEOUT = 300  # seconds without a word from the engine


def run(
    module: str,
    *arguments: str,
    environ: Mapping[str, str],
    cwd: Path,
    write: Callable[[str], None],
    stop: StopSignal,
    limit: float,
    error_for: Callable[[str], InfrastructureError],
) -> dict[str, Any]:
    """Run a module that ends in `run_with_client`, and return what it said, but for the text, which `write` gets.

    Raises Stopped, the InfrastructureError that the module raised, and `error_for` of the words for one that takes
    longer than `limit` seconds: no commit is to blame for what all builds wait for.
    """
    said: dict[str, Any] = {}

    def on_line(line: str) -> None:
        fields = _parse_message(line)
        if text := fields.pop("text", None):
            write(text)
        said.update(fields)

    try:
        child_process.run(
            [sys.executable, "-P", "-m", module, *arguments],
            env={name: value for name, value in environ.items() if not name.startswith("REPO2HUB_")},
            cwd=cwd,
            on_line=on_line,
            stop=stop,
            total_limit=limit,
            idle_limit=limit,
        )
    except UserError as exc:
        raise error_for(f"it took longer than {limit:g} s (REPO2HUB_BUILD_TIMEOUT)") from exc
    if "error" in said:
        raise InfrastructureError(said["cause"], said["error"])
    return said


def _parse_message(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError):  # a warning of Python's, or a traceback
        return {"text": line}


def emit(**fields: str | None) -> None:
    """Say something to the parent; `text` is for the build's log."""
    print(json.dumps(fields), flush=True)


def run_with_client(work: Callable[[docker.DockerClient], None]) -> int:
    """Do the work, in the child; say why it failed, and return the exit code."""
    try:
        with closing(docker.from_env(timeout=_TIMEOUT)) as client:
            work(client)
    except InfrastructureError as exc:
        error = exc
    except (DockerException, RequestException, HTTPError) as exc:
        # The last is raised in the middle of an answer.
        emit(text=f"[repo2hub] the container engine does not answer: {exc}")
        error = docker_client.unavailable_error()
    else:
        return 0
    emit(cause=error.cause, error=error.message)
    return 1
