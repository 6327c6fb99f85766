"""A hub configured by one of `examples/`, with the service beside it, and users in their browsers."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import requests
from playwright.sync_api import Browser, Page

from demo.github.bare_repository import BareRepository
from demo.github.delivery import deliver, push_payload
from demo.github.git_server import GitServer
from repo2hub_launcher import bridge_address
from tests.conftest import ROOT
from tests.support.browser import LIMIT
from tests.support.hub import External, Hub
from tests.support.images import remove_images
from tests.support.registry import free_port
from tests.support.service import SECRET, Service

EXAMPLE = ROOT / "examples" / "dockerspawner" / "jupyterhub_config.py"
TLJH = ROOT / "examples" / "tljh" / "repo2hub.py"
FIXED = "Tide tables"
CONTAINERS = f"r2htest-jupyter{os.getpid()}"
SCRIPT = "token-of-a-script-of-the-tests"
NOTEBOOK = """
{"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
 "cells": [{"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": null,
            "source": "print('six times seven is', 6 * 7)"}]}
"""


class BehindHub(Service):
    """The service under its base path; scripts ask it with a token."""

    @property
    def base(self) -> str:
        return f"{self.url}/services/binder"

    def get(self, path: str) -> Any:
        return requests.get(f"{self.base}/api/v1/{path}", headers=_SCRIPT, timeout=30).json()

    def post(self, path: str, body: dict[str, Any] | None = None) -> "requests.Response":
        return requests.post(f"{self.base}/api/v1/{path}", json=body or {}, headers=_SCRIPT, timeout=30)

    def log(self, build_id: int) -> str:
        return requests.get(f"{self.base}/api/v1/builds/{build_id}/log", headers=_SCRIPT, timeout=30).text

    def deliver(self, repository: str, commit: str) -> dict[str, Any]:
        """Send the signed delivery of a push to main."""
        payload = push_payload(repository, commit=commit, message="Measure the tides again")
        answer = deliver(f"{self.base}/webhook/github", "push", payload, secret=SECRET)
        assert answer.status_code == 202, answer.text
        said: dict[str, Any] = answer.json()
        return said


_SCRIPT = {"Authorization": f"Bearer {SCRIPT}"}


@dataclass
class Launcher:
    """The hub, the service, the engine, and `hello`, a repository whose image was built before."""

    hub: Hub
    service: BehindHub
    github: GitServer
    hello: BareRepository
    image: str
    engine: docker.DockerClient
    browser: Browser | None
    _pages: list[Page] = field(default_factory=list)

    def visit(
        self,
        name: str,
        *,
        width: int = 1280,
        scheme: str = "light",
        at: str = "/hub/spawn",
        until: str = "#r2h",
    ) -> Page:
        """Return a page of a new browser session, logged in, at a path of the hub; it has what `until` selects."""
        assert self.browser is not None
        context = self.browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
        )
        context.set_default_timeout(LIMIT)
        page = context.new_page()
        page.goto(f"{self.hub.url}{at}")
        page.fill("#username_input", name)
        page.fill("#password_input", "any")
        page.click("#login_submit")
        page.wait_for_selector(until)
        self._pages.append(page)
        return page

    def leave(self) -> None:
        """Close the pages of all users, and stop their servers."""
        while self._pages:
            self._pages.pop().context.close()
        for container in self.engine.containers.list(all=True, filters={"name": CONTAINERS}):
            container.remove(force=True)

    def container(self, name: str) -> Any:
        """Return what the engine says of a user's container."""
        return self.engine.api.inspect_container(f"{CONTAINERS}-{name}")

    def is_started(self, name: str) -> bool:
        return bool(self.hub.api("GET", f"users/{name}")["servers"])

    def commit(self, **files: str) -> str:
        """Change the repository that is already built: only its last layer is rebuilt."""
        return self.hello.commit(
            {**files, "mark.txt": str(time.time_ns())}, message="Measure the tides again"
        )

    def plain(self, *steps: str) -> BareRepository:
        """Return a repository whose build takes these steps, and whose image is no server."""
        repository = self.github.create(f"Org/plain-{time.time_ns()}")
        repository.commit(self.service.dockerfile(" && ".join(steps)))
        return repository


@contextmanager
def launcher(
    folder: Path,
    base_image: str,
    engine: docker.DockerClient,
    browser: Browser | None,
    *,
    config: str = "",
    example: Path = EXAMPLE,
    **settings: str,
) -> Iterator[Launcher]:
    """Start it all, build `hello`, and stop it all. `config` goes to the hub, `settings` to the service."""
    external = External("binder", free_port())
    hub = Hub(folder / "hub")
    api = f"http://{bridge_address()}:{urlsplit(hub.api_url).port}"
    with GitServer(folder / "github") as github:
        service = _service(folder / "service", github, base_image, external, api)
        service.settings |= settings
        try:
            service.start_all()
            hello = github.create("Org/hello")
            hello.commit({"requirements.txt": "", "index.ipynb": NOTEBOOK}, message="Measure the tides")
            image = service.wait_for(service.request_build("Org/hello"))["image"]["image"]
            hub.config = f"{_example(example, image)}\n{config}"
            hub.environ = _hub_environ(folder, hub, external)
            hub.start()
            yield Launcher(hub, service, github, hello, image, engine, browser)
        finally:
            hub.stop()
            service.stop_all()
            for container in engine.containers.list(all=True, filters={"name": CONTAINERS}):
                container.remove(force=True)
            remove_images(engine, service.settings["IMAGE_PREFIX"])


def _service(folder: Path, github: GitServer, base_image: str, external: External, hub: str) -> BehindHub:
    settings = {
        "AUTH": "jupyterhub",
        "API_TOKENS": SCRIPT,
        "IMAGE_PREFIX": f"r2htest-{os.getpid()}-{time.time_ns()}/",
        "USER_ACTIVE_BUILDS": "1",
    }
    environ = {
        "JUPYTERHUB_API_TOKEN": external.token,
        "JUPYTERHUB_API_URL": f"{hub}/hub/api",
        "JUPYTERHUB_CLIENT_ID": "service-binder",
        "JUPYTERHUB_SERVICE_PREFIX": "/services/binder/",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": f'["{external.scope}"]',
    }
    service = BehindHub(folder, github.url, base_image, settings, environ)
    service.port = external.port
    return service


def _example(path: Path, image: str) -> str:
    """Return the example as it is, but for what the tests' hub says itself, and with the line that it suggests."""
    example = path.read_text().replace("c = get_config()", "")
    example = re.sub(r"(?m)^c\.(JupyterHub\.bind_url|JupyterHub\.authenticator_class) = .*$", "", example)
    example, count = re.subn(r"# fixed_images=\{.*\},", f'fixed_images={{"{FIXED}": "{image}"}},', example)
    assert count == 1
    ours = f'c.DockerSpawner.prefix = "{CONTAINERS}"\nc.JupyterHub.allow_named_servers = True'
    return f"{example}\n{ours}"


def _hub_environ(folder: Path, hub: Hub, external: External) -> dict[str, str]:
    """Return what either example takes from its environment."""
    token = folder / "token"
    token.write_text(f"{external.token}\n")
    service = f"http://127.0.0.1:{external.port}/services/binder/"
    return {
        "HUB_API_PORT": str(urlsplit(hub.api_url).port),
        "HUB_SERVICE_URL": service,
        "HUB_SERVICE_TOKEN": external.token,
        "HUB_PASSWORD": "any",
        "REPO2HUB_SERVICE_URL": service,
        "REPO2HUB_TOKEN_FILE": str(token),
    }
