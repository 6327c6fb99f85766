"""A container that runs JupyterLab from an image, for the demo to check that the image works."""

import secrets
import subprocess
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import requests

from demo.local_images import COMMAND_TIMEOUT, docker
from repo2hub.client.service import direct_session
from repo2hub.output.errors import CommandFailed

_PORT = 8888
_POLL_INTERVAL = 0.1


class JupyterLabContainer:
    """A container that runs JupyterLab on a free loopback port; it is removed at the end of the `with` block.

    Every method raises CommandFailed if the container does not start or answer.
    """

    def __init__(self, image: str) -> None:
        self._image = image
        self._token = secrets.token_hex(16)
        self._name = f"repo2hub-demo-{secrets.token_hex(4)}"
        self._session = direct_session()
        self._session.headers["Authorization"] = f"token {self._token}"
        self.address = ""

    def __enter__(self) -> Self:
        """Start the container. Do not interrupt this: an interrupted `docker run` may still create it."""
        # The token is passed by environment, because every user of the machine can see command lines.
        lab = ["jupyter", "lab", "--ip=0.0.0.0", f"--port={_PORT}", "--no-browser"]
        publish = f"127.0.0.1::{_PORT}"
        options = ["--detach", "--init", "--name", self._name, "--publish", publish, "--env", "JUPYTER_TOKEN"]
        try:
            docker("run", *options, self._image, *lab, JUPYTER_TOKEN=self._token)
            self.address = f"http://{docker('port', self._name, str(_PORT)).splitlines()[0]}"
        except CommandFailed:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def get_json(self, path: str) -> Any:
        """Return the response of JupyterLab's server to GET `path`, such as api/status."""
        response = self._session.get(f"{self.address}/{path}", timeout=10)
        response.raise_for_status()
        return response.json()

    def wait(self, timeout: float = 60) -> None:
        """Return when the server answers, within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with suppress(requests.RequestException):
                self.get_json("api/status")
                return
            if docker("inspect", "--format", "{{.State.Running}}", self._name) != "true":
                break
            time.sleep(_POLL_INTERVAL)
        raise CommandFailed(
            f"JupyterLab does not answer in {self._image}. The end of its log: {self._last_log_lines()}"
        )

    def _last_log_lines(self) -> str:
        argv = ["docker", "logs", "--tail", "3", self._name]
        result = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", check=False, timeout=COMMAND_TIMEOUT
        )
        return " | ".join((result.stdout + result.stderr).strip().splitlines()) or "empty"

    def _remove(self) -> None:
        self._session.close()
        with suppress(CommandFailed):
            docker("rm", "--force", "--volumes", self._name)
