"""A web process of ours as a service of a real hub, and a browser that looks at it through the hub's proxy."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.support.hub import External, Hub
from tests.support.registry import free_port
from tests.support.service import Service

API_TOKEN = "api-token-of-a-script"
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}
"""What a browser says that is on its way to a page."""


def start_web(folder: Path, environ: dict[str, str], port: int, github_url: str, **settings: str) -> Service:
    """Start a web process that a hub knows as its service; it need not be there yet."""
    ours = {"AUTH": "jupyterhub", "API_TOKENS": API_TOKEN, **settings}
    service = Service(folder, github_url, "none", ours, environ)
    service.port = port
    migrated = service.run("db", "upgrade")
    assert migrated.returncode == 0, migrated.stderr
    service.start("web")
    return service


def wait_for(address: str, log: Path) -> None:
    """Wait until the service answers at its address."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with suppress(requests.RequestException):
            if requests.get(f"{address}/health", timeout=5).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-6000:])


@dataclass(frozen=True)
class Behind:
    """Our service behind a hub; `url` is its address at the hub's proxy, without a slash at its end."""

    hub: Hub
    web: Service
    external: External

    @property
    def url(self) -> str:
        return f"{self.hub.url}/services/{self.external.name}"

    def get(self, path: str, token: str, **headers: str) -> requests.Response:
        """Ask with a token, as a script does."""
        headers = {"Authorization": f"Bearer {token}", **headers}
        return requests.get(f"{self.url}{path}", headers=headers, allow_redirects=False, timeout=30)

    def post(self, path: str, token: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.post(f"{self.url}{path}", json=body or {}, headers=headers, timeout=30)

    def request_build(self, token: str, repository: str, ref: str = "HEAD", **more: Any) -> requests.Response:
        """Ask for a build with a token."""
        return self.post("/api/v1/builds", token, {"repository": repository, "ref": ref, **more})

    def browser(self, name: str) -> "Browser":
        """Return the browser of a user who has logged in to the hub, and not yet been here."""
        return Browser(self, self.hub.login(name))


@dataclass(frozen=True)
class Browser:
    """A browser without JavaScript: it follows redirects and keeps cookies."""

    behind: Behind
    session: requests.Session = field(default_factory=requests.Session)

    def visit(self, path: str = "/") -> requests.Response:
        """Go to a page of ours, wherever that leads."""
        return self.session.get(f"{self.behind.url}{path}", headers=PAGE, timeout=30)

    def step(self, address: str) -> requests.Response:
        """Go to a page, without following where it sends one to."""
        return self.session.get(address, headers=PAGE, allow_redirects=False, timeout=30)

    def post(self, path: str, **sent: Any) -> requests.Response:
        return self.session.post(f"{self.behind.url}{path}", allow_redirects=False, timeout=30, **sent)

    @property
    def xsrf(self) -> str:
        """What our pages' JavaScript finds in its cookie."""
        base = f"/services/{self.behind.external.name}/"
        return next(c.value or "" for c in self.session.cookies if c.name == "_xsrf" and c.path == base)


@contextmanager
def behind_hub(
    folder: Path,
    github_url: str,
    *,
    config: str = "",
    everybody: bool = True,
    python: str | None = None,
    **settings: str,
) -> Iterator[Behind]:
    """Start a hub, and our web process as its service `binder`; both are stopped at the end of the block."""
    external = External("binder", free_port())
    hub = Hub(folder / "hub", f"{external.config(everybody=everybody)}\n{config}")
    if python is not None:
        hub.python = python
    # Before the hub, which waits for its services.
    web = start_web(folder / "web", external.environ(hub), external.port, github_url, **settings)
    behind = Behind(hub, web, external)
    try:
        with hub:
            wait_for(behind.url, web.log_path("web"))
            yield behind
    finally:
        web.stop_all()
