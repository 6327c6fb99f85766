"""Starting an image once and asking the JupyterLab inside, for the demo: does what was built work?"""

import json
import os
import secrets
import subprocess
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import requests

from repo2hub.output.errors import CommandFailed

_PORT = 8888
_COMMAND_TIMEOUT = 60
_POLL_INTERVAL = 0.1


class JupyterLabContainer:
    """A container of an image that runs JupyterLab on a free loopback port; gone at the end of the block.

    Every method raises CommandFailed where the container does not do as it should.
    """

    def __init__(self, image: str) -> None:
        self._image = image
        self._token = secrets.token_hex(16)
        self._name = f"repo2hub-demo-{secrets.token_hex(4)}"
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy is of no use for this machine itself
        self._session.headers["Authorization"] = f"token {self._token}"
        self.address = ""

    def __enter__(self) -> Self:
        """Start it. Not to be interrupted: `docker run` given up half-way would still make its container."""
        # The token comes from our environment: on the command line every user of the machine would see it.
        lab = ["jupyter", "lab", "--ip=0.0.0.0", f"--port={_PORT}", "--no-browser"]
        publish = f"127.0.0.1::{_PORT}"
        options = ["--detach", "--init", "--name", self._name, "--publish", publish, "--env", "JUPYTER_TOKEN"]
        try:
            _docker("run", *options, self._image, *lab, JUPYTER_TOKEN=self._token)
            self.address = f"http://{_docker('port', self._name, str(_PORT)).splitlines()[0]}"
        except CommandFailed:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def get_json(self, path: str) -> Any:
        """Return what the server inside answers at an address of its API, such as api/status."""
        answer = self._session.get(f"{self.address}/{path}", timeout=10)
        answer.raise_for_status()
        return answer.json()

    def wait(self, limit: float = 60) -> None:
        """Return once the server answers; `limit` is in seconds."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            with suppress(requests.RequestException):
                self.get_json("api/status")
                return
            if _docker("inspect", "--format", "{{.State.Running}}", self._name) != "true":
                break
            time.sleep(_POLL_INTERVAL)
        raise CommandFailed(
            f"JupyterLab does not answer in {self._image}; its last words: {self._last_log_lines()}"
        )

    def _last_log_lines(self) -> str:
        words = ["docker", "logs", "--tail", "3", self._name]
        said = subprocess.run(
            words, capture_output=True, text=True, errors="replace", check=False, timeout=_COMMAND_TIMEOUT
        )
        return " | ".join((said.stdout + said.stderr).strip().splitlines()) or "none"

    def _remove(self) -> None:
        self._session.close()
        with suppress(CommandFailed):
            _docker("rm", "--force", "--volumes", self._name)


def image_layers(image: str) -> list[str]:
    """Return the layers of an image of the local engine, lowest first."""
    found: list[str] = json.loads(_docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))
    return found


def remove_images_with_prefix(prefix: str) -> None:
    """Remove the images whose names begin with `prefix`; the engine keeps what it needs to build them again."""
    names = _docker("images", "--filter", f"reference={prefix}*/*", "--format", "{{.Repository}}:{{.Tag}}")
    for name in names.splitlines():
        with suppress(CommandFailed):  # a container may still use it
            _docker("image", "rm", name)


def _docker(*words: str, **environ: str) -> str:
    try:
        done = subprocess.run(
            ["docker", *words],
            env=os.environ | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMMAND_TIMEOUT,
            check=True,
            process_group=0,  # out of the reach of Ctrl-C
        )
    except subprocess.CalledProcessError as exc:
        reason = (exc.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CommandFailed(f"docker {words[0]}: {reason}") from exc
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CommandFailed(f"docker {words[0]}: {exc}") from exc
    return done.stdout.strip()
