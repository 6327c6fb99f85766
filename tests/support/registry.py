"""A real registry (Debian's docker-registry) on loopback, open or with a password."""

import base64
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import requests

_CONFIG = """
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
{auth}
"""


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Registry:
    """A registry; with `htpasswd` it requires a login."""

    folder: Path
    htpasswd: Path | None = None
    port: int = 0

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        auth = f"auth: {{htpasswd: {{realm: test, path: {self.htpasswd}}}}}" if self.htpasswd else ""
        config = self.folder / "config.yml"
        config.write_text(_CONFIG.format(root=self.folder / "data", port=self.port, auth=auth))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                requests.get(f"{self.url}/v2/", timeout=2)
                return
            except (requests.ConnectionError, requests.Timeout):
                time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def digest(self, name: str, tag: str, login: tuple[str, str] | None = None) -> str | None:
        """Return the digest that the registry has for a tag, or None."""
        answer = requests.head(
            f"{self.url}/v2/{name}/manifests/{tag}",
            headers={
                "Accept": "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
                "application/vnd.docker.distribution.manifest.list.v2+json, "
                "application/vnd.docker.distribution.manifest.v2+json"
            },
            auth=login,
            timeout=10,
        )
        return answer.headers["Docker-Content-Digest"] if answer.status_code == 200 else None


def login(registry: Registry, user: str, password: str) -> str:
    """Return a docker config.json with a login to the registry."""
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    return f'{{"auths": {{"127.0.0.1:{registry.port}": {{"auth": "{auth}"}}}}}}'
