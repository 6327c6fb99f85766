"""A hub with the unmodified KubeSpawner and jupyterhub-fancy-profiles, and the service behind it.

Real: JupyterHub, its proxy, KubeSpawner, fancy-profiles as published, the service with its builder, the engine,
the images and the servers in them. Stood in for: the cluster (kubernetes_api.py) and GitHub's git side
(demo/github/git_server.py).
"""

import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import docker
import requests

from demo.github.git_server import GitServer
from tests.acceptance.launcher.kubernetes_api import KubernetesApi
from tests.support.hub import External, Hub
from tests.support.registry import free_port
from tests.support.service import Service

SCRIPT = "token-of-the-tests-scripts"
"""With which the tests ask the service themselves."""

# As fancy-profiles' documentation and binderhub-service's have it, but for names and addresses.
CONFIG = """
c.JupyterHub.services += [
    {{
        "name": "binder",
        "url": "http://127.0.0.1:{service_port}",
        "api_token": "{token}",
        "oauth_client_id": "service-binderhub",
        "oauth_no_confirm": True,
        "oauth_redirect_uri": "{hub}/services/binder/oauth_callback",
    }}
]
c.JupyterHub.load_roles += [{{"name": "user", "scopes": ["self", "access:services!service=binder"]}}]

from jupyterhub_fancy_profiles import setup_ui

setup_ui(c)

c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 2}}  # seconds, then the page of its progress
c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.KubeSpawner.namespace = "hub"
c.KubeSpawner.port = {server_port}
c.KubeSpawner.cmd = ["jupyterhub-singleuser"]  # as Zero to JupyterHub has it
c.KubeSpawner.start_timeout = c.KubeSpawner.http_timeout = 120
c.KubeSpawner.profile_list = [
    {{
        "display_name": "Choose an image",
        "slug": "custom",
        "profile_options": {{
            "image": {{
                "display_name": "Image",
                "dynamic_image_building": {{"enabled": True}},
                "unlisted_choice": {{
                    "enabled": True,
                    "display_name": "Custom image",
                    "validation_regex": "^.+:.+$",
                    "kubespawner_override": {{"image": "{{value}}"}},
                }},
                "choices": {{
                    "listed": {{
                        "display_name": "The hub's own",
                        "kubespawner_override": {{"image": "the-hubs-own:1"}},
                    }},
                }},
            }},
        }},
    }}
]
"""
LAUNCHER = """
from repo2hub_launcher import setup_kubespawner

setup_kubespawner(c)
"""

# What admins have in their configurations, and what is to go on working.
HOOKS = """
import copy

listed = c.KubeSpawner.profile_list
strict = copy.deepcopy(listed[0]) | {"display_name": "Built here only", "slug": "strict"}
del strict["profile_options"]["image"]["unlisted_choice"]["validation_regex"]

async def profiles(spawner):
    return [*listed, strict] if spawner.user.name.startswith("strict") else listed

def before(spawner):
    spawner.environment = {"CHOSEN": spawner.user_options.get("image--unlisted-choice", "")}

async def modify(spawner, pod):
    pod.metadata.labels["modified"] = "yes"
    return pod

c.KubeSpawner.profile_list = profiles
c.KubeSpawner.pre_spawn_hook = before
c.KubeSpawner.modify_pod_hook = modify
"""


@dataclass
class FancyHub:
    """All of it on one machine; `config` follows CONFIG in the hub's configuration."""

    folder: Path
    engine: docker.DockerClient
    github: GitServer
    base_image: str
    config: str = LAUNCHER
    packages: Path | None = None
    """A folder that goes before the hub's own packages."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cluster = KubernetesApi(self.engine, self.folder)
        self.external = External("binder", free_port())
        environ = {"KUBECONFIG": str(self.cluster.kubeconfig)}
        if self.packages is not None:
            environ["PYTHONPATH"] = str(self.packages)
        self.hub = Hub(self.folder / "hub", environ=environ)
        ours = CONFIG.format(
            service_port=self.external.port,
            token=self.external.token,
            hub=self.hub.url,
            server_port=free_port(),
        )
        self.hub.config = f"{ours}\n{self.config}"
        settings = {
            "AUTH": "jupyterhub",
            "API_TOKENS": SCRIPT,
            "BASE_URL": "/services/binder/",
            "IMAGE_PREFIX": f"r2htest-{uuid.uuid4().hex[:8]}/",
            "PORT": str(self.external.port),
        }
        self.service = Service(
            self.folder / "service", self.github.url, self.base_image, settings, self._environ(), token=SCRIPT
        )
        self.service.port = self.external.port

    def _environ(self) -> dict[str, str]:
        # What the hub was told of its service, the service is told too: client, and address to come back to.
        return self.external.environ(self.hub) | {
            "JUPYTERHUB_CLIENT_ID": "service-binderhub",
            "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{self.hub.url}/services/binder/oauth_callback",
        }

    def __enter__(self) -> Self:
        self.cluster.start()
        self.service.start_all()
        self.hub.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hub.stop()
        self.service.stop_all()
        self.cluster.stop()
        for image in self.engine.api.images():
            for tag in image["RepoTags"] or []:
                if tag.startswith(self.service.settings["IMAGE_PREFIX"]):
                    self.engine.api.remove_image(tag, force=True)

    def image_of(self, user: str) -> str:
        """Return the image that somebody's pod runs."""
        image: str = self.cluster.pods[f"jupyter-{user}"]["spec"]["containers"][0]["image"]
        return image

    def start_server(self, user: str, options: dict[str, Any] | None = None) -> None:
        """Start a server by the hub's API, with the options of the last start where none are given."""
        self.hub.add_user(user)
        body = None if options is None else {"user_options": options}
        self.hub.api("POST", f"users/{user}/server", body)

    def progress(self, user: str) -> list[str]:
        """Return what the hub tells of a start, once it has ended."""
        messages = []
        address = f"{self.hub.url}/hub/api/users/{user}/server/progress"
        headers = {"Authorization": f"Bearer {self.hub.token(user)}"}
        with requests.get(address, headers=headers, stream=True, timeout=120) as answer:
            assert answer.status_code == 200, answer.text
            for line in answer.iter_lines(decode_unicode=True):
                if line.startswith("data:"):
                    messages.append(json.loads(line.removeprefix("data:"))["message"])
        return messages

    def wait_for_server(self, user: str) -> None:
        """Wait until somebody's server is ready."""
        deadline = time.monotonic() + 120
        while not self._server(user).get("ready"):
            assert time.monotonic() < deadline, self.hub.log_path.read_text()[-8000:]
            time.sleep(0.2)

    def stop_server(self, user: str) -> None:
        """Stop somebody's server, and wait until it is gone."""
        self.hub.api("DELETE", f"users/{user}/server")
        deadline = time.monotonic() + 120
        while self._server(user):
            assert time.monotonic() < deadline, self.hub.log_path.read_text()[-8000:]
            time.sleep(0.2)

    def _server(self, user: str) -> dict[str, Any]:
        server: dict[str, Any] = self.hub.api("GET", f"users/{user}")["servers"].get("", {})
        return server
