"""Run slow requests to the engine in a child process, so that they can be stopped.

docker-py blocks for as long as the engine or a registry does. A child process can be stopped at any moment, and
the engine then cancels the request. The child uses the builder's own docker login; repo2docker's child never
sees it.
"""

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
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

_TIMEOUT = 300  # seconds that the engine may be silent


@dataclass(frozen=True)
class DockerSubprocess:
    """How to run such a child: its environment, its folder, the build's log, and when to stop it."""

    environ: Mapping[str, str]
    """The builder's environment, of which the child gets all but the service's own settings."""
    folder: Path
    write: Callable[[str], None]
    stop: StopSignal
    timeout: float

    def run(
        self, module: str, *arguments: str, error_for: Callable[[str], InfrastructureError]
    ) -> dict[str, Any]:
        """Run a module that ends in `run_with_client`; write its text to the log and return its other fields.

        Raises Stopped, the InfrastructureError that the module raised, or `error_for(reason)` after `timeout`
        seconds: a slow registry is no fault of the commit.
        """
        result: dict[str, Any] = {}

        def on_line(line: str) -> None:
            fields = _parse_message(line)
            if text := fields.pop("text", None):
                self.write(text)
            result.update(fields)

        try:
            child_process.run(
                [sys.executable, "-P", "-m", module, *arguments],
                env={name: value for name, value in self.environ.items() if not name.startswith("REPO2HUB_")},
                cwd=self.folder,
                on_line=on_line,
                stop=self.stop,
                timeout=self.timeout,
                idle_timeout=self.timeout,
            )
        except UserError as exc:
            raise error_for(f"it took longer than {self.timeout:g} s (REPO2HUB_BUILD_TIMEOUT)") from exc
        if "error" in result:
            raise InfrastructureError(result["cause"], result["error"])
        return result


def _parse_message(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError):  # a Python warning or traceback
        return {"text": line}


def emit(**fields: str | None) -> None:
    """Send fields to the parent process; `text` goes to the build's log."""
    print(json.dumps(fields), flush=True)


def run_with_client(work: Callable[[docker.DockerClient], None]) -> int:
    """Call `work` in the child process, emit its error, if any, and return the exit code."""
    try:
        with closing(docker.from_env(timeout=_TIMEOUT)) as client:
            work(client)
    except InfrastructureError as exc:
        error = exc
    except (DockerException, RequestException, HTTPError) as exc:
        # HTTPError is raised in the middle of an answer.
        emit(text=f"[repo2hub] container engine not responding: {exc}")
        error = docker_client.unavailable_error()
    else:
        return 0
    emit(cause=error.cause, error=error.message)
    return 1
