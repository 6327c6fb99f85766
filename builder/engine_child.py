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

from builder import child, engine
from builder.child import StopSignal
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
    failure: Callable[[str], InfrastructureError],
) -> dict[str, Any]:
    """Run a module that ends in `serve`, and return what it said, but for the text, which `write` gets.

    Raises Stopped, the InfrastructureError that the module raised, and `failure` of the words for one that takes
    longer than `limit` seconds: no commit is to blame for what all builds wait for.
    """
    said: dict[str, Any] = {}

    def on_line(line: str) -> None:
        words = _read(line)
        if text := words.pop("text", None):
            write(text)
        said.update(words)

    try:
        child.run(
            [sys.executable, "-P", "-m", module, *arguments],
            env={name: value for name, value in environ.items() if not name.startswith("REPO2HUB_")},
            cwd=cwd,
            on_line=on_line,
            stop=stop,
            total_limit=limit,
            idle_limit=limit,
        )
    except UserError as exc:
        raise failure(f"it took longer than {limit:g} s (REPO2HUB_BUILD_TIMEOUT)") from exc
    if "error" in said:
        raise InfrastructureError(said["cause"], said["error"])
    return said


def _read(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError):  # a warning of Python's, or a traceback
        return {"text": line}


def say(**words: str | None) -> None:
    """Say something to the parent; `text` is for the build's log."""
    print(json.dumps(words), flush=True)


def serve(work: Callable[[docker.DockerClient], None]) -> int:
    """Do the work, in the child; say why it failed, and return the exit code."""
    try:
        with closing(docker.from_env(timeout=_TIMEOUT)) as client:
            work(client)
    except InfrastructureError as exc:
        error = exc
    except (DockerException, RequestException, HTTPError) as exc:
        # The last is raised in the middle of an answer.
        say(text=f"[repo2hub] the container engine does not answer: {exc}")
        error = engine.unavailable()
    else:
        return 0
    say(cause=error.cause, error=error.message)
    return 1
