"""examples/z2jh/values.yaml, read as Zero to JupyterHub reads it, and loaded by the real hub and KubeSpawner.

The chart itself is not rendered (that needs helm): `configuration` does what its jupyterhub_config.py does with
the values that the example sets.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jupyterhub.app import JupyterHub
from jupyterhub.scopes import _check_scopes_exist
from kubernetes_asyncio.config import kube_config
from kubespawner import KubeSpawner
from traitlets.config import Config

from repo2hub_launcher import LauncherError, setup_kubespawner
from tests.conftest import ROOT

VALUES: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "z2jh" / "values.yaml").read_text())


def configuration(values: dict[str, Any]) -> Config:
    """Return the hub's configuration, in the order in which the chart makes it."""
    c = Config()
    c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
    c.JupyterHub.extra_handlers = []
    c.KubeSpawner.profile_list = values["singleuser"]["profileList"]
    c.Spawner.cmd = values["singleuser"]["cmd"]
    services = values["hub"]["services"].items()
    c.JupyterHub.services = [
        {"name": name, "api_token": "of-the-chart", **service} for name, service in services
    ]
    c.JupyterHub.load_roles = [{"name": name, **role} for name, role in values["hub"]["loadRoles"].items()]
    for _, code in sorted(values["hub"]["extraConfig"].items()):
        exec(code, {"c": c})
    return c


@pytest.fixture
def c() -> Config:
    return configuration(VALUES)


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that nobody asks: KubeSpawner wants to know one as soon as it is made."""
    named = {"name": "none", "cluster": {"server": "http://127.0.0.1:1"}, "user": {}}
    context = {"name": "none", "context": {"cluster": "none", "user": "none"}}
    config = {"clusters": [named], "users": [named], "contexts": [context], "current-context": "none"}
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    # Not KUBECONFIG, which was read when the module was imported.
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))


def test_the_hub_takes_services_and_roles(c: Config) -> None:
    hub = JupyterHub(config=c)
    (service,) = hub.services
    assert service["url"] == "http://repo2hub:8585"
    assert service["oauth_no_confirm"] is True
    for role in hub.load_roles:
        _check_scopes_exist(role["scopes"])
    (path, *_rest) = hub.extra_handlers[0]
    assert path.startswith("/fancy-profiles/static/")


def test_the_spawner_is_kubespawner_with_the_lookup(c: Config) -> None:
    found = c.JupyterHub.spawner_class
    assert issubclass(found, KubeSpawner)
    assert found.__name__ == "KubeSpawner"
    assert found.launcher.service_url == "http://repo2hub:8585/services/binder/"


def test_the_profiles_load_and_set_image_and_resources(c: Config, kubeconfig: None) -> None:
    image = "registry.example.org/repo2hub/org/repo:" + "0" * 40 + "-5ca1ab1e0000"
    options = {
        "profile": "custom",
        "image": "--extra-selectable-item",
        "image--unlisted-choice": image,
        "resources": "large",
    }

    async def load(chosen: dict[str, str]) -> Any:
        spawner = c.JupyterHub.spawner_class(_mock=True, config=c, user_options=chosen)
        await spawner.load_user_options()
        return spawner

    spawner = asyncio.run(load(options))
    assert (spawner.image, spawner.mem_limit, spawner.cpu_limit) == (image, 8 * 2**30, 4)
    assert spawner.cmd == ["jupyterhub-singleuser"]
    with pytest.raises(ValueError, match="validation regex"):
        asyncio.run(load({**options, "image--unlisted-choice": "docker.example.org/evil:1"}))


def test_the_page_shows_the_profiles_and_the_launchers_script(c: Config, kubeconfig: None) -> None:
    async def form() -> str:
        spawner = c.JupyterHub.spawner_class(_mock=True, config=c)
        shown: str = await spawner.get_options_form()
        return shown

    shown = asyncio.run(form())
    assert "dynamic_image_building" in shown
    assert "/hub/fancy-profiles/static/dist/form.js" in shown
    assert "formdata" in shown


def test_without_the_service_the_hub_does_not_start_and_says_what_is_missing() -> None:
    with pytest.raises(LauncherError, match=r"no service 'binder' with a url"):
        setup_kubespawner(Config())


def test_another_spawner_is_refused() -> None:
    c = Config()
    c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
    with pytest.raises(LauncherError, match="must be a KubeSpawner, not LocalProcessSpawner"):
        setup_kubespawner(c, service_url="http://127.0.0.1:1/services/binder/")
