"""The configuration of a hub: what the launcher sets, and errors that stop the hub."""

from typing import Any

import pytest
from traitlets.config import Config

from repo2hub_launcher import LauncherError, setup_dockerspawner, setup_kubespawner

URL = "http://127.0.0.1:8585/services/binder/"


def configured(c: Config | None = None, **more: Any) -> Config:
    c = Config() if c is None else c
    setup_dockerspawner(c, **{"service_url": URL, "service_token": "t", **more})
    return c


def test_address_and_token_are_enough() -> None:
    c = configured()
    assert c.JupyterHub.spawner_class == "repo2hub_launcher.dockerspawner.spawner.LauncherDockerSpawner"
    assert c.LauncherDockerSpawner.cmd == ["jupyterhub-singleuser"]
    [service] = c.JupyterHub.services
    assert service == {
        "name": "binder",
        "url": "http://127.0.0.1:8585",
        "api_token": "t",
        "oauth_no_confirm": True,
    }
    roles = {role["name"]: role["scopes"] for role in c.JupyterHub.load_roles}
    assert roles["user"] == ["self", "access:services!service=binder"]
    assert "read:users:groups" in roles["service-binder"]


def test_settings_of_the_admin_are_kept() -> None:
    c = Config()
    c.JupyterHub.services = [{"name": "binder", "url": "http://elsewhere"}, {"name": "culler"}]
    c.JupyterHub.load_roles = [{"name": "user", "scopes": ["self", "shares"]}]
    c.DockerSpawner.cmd = ["start-singleuser.sh"]
    configured(c, service_token=None)
    assert [service["name"] for service in c.JupyterHub.services] == ["binder", "culler"]
    assert c.JupyterHub.load_roles == [
        {"name": "user", "scopes": ["self", "shares", "access:services!service=binder"]}
    ]
    assert "cmd" not in c.LauncherDockerSpawner


def test_a_service_is_appended_to_a_lazy_list() -> None:
    c = Config()
    c.JupyterHub.services.append({"name": "culler"})
    configured(c)
    assert [service["name"] for service in c.JupyterHub.services] == ["culler", "binder"]


def test_all_invalid_values_are_reported_at_once() -> None:
    wrong = {
        "service_url": "127.0.0.1:8585",
        "service_name": "Binder!",
        "fixed_images": {"Mine": ""},
        "resources": {
            "Small": {"mem": "1G"},
            "Tiny": {"memory": "1K"},
            "Odd": {"cpu": 0},
            "Bad": {"memory": "x"},
        },
        "build_wait": 0,
        "allow_autostart": "yes",
    }
    with pytest.raises(LauncherError) as refused:
        configured(**wrong)
    message = str(refused.value)
    for name in ("service_url", "service_name", "fixed_images['Mine']", "build_wait", "allow_autostart"):
        assert name in message
    for name in ("Small", "Tiny", "Odd", "Bad"):
        assert f"resources[{name!r}]" in message


def test_a_service_requires_a_token() -> None:
    with pytest.raises(LauncherError, match="service_token"):
        configured(service_token=None)


@pytest.mark.parametrize("option", ["options_form", "options_from_form", "apply_user_options"])
def test_options_that_the_launcher_sets_are_refused(option: str) -> None:
    c = Config()
    c.DockerSpawner[option] = "something"
    with pytest.raises(LauncherError, match=option):
        configured(c)


def test_keeping_containers_is_refused() -> None:
    c = Config()
    c.DockerSpawner.remove = False
    with pytest.raises(LauncherError, match="remove"):
        configured(c)


def test_kubespawner_keeps_its_name_and_gets_the_address_of_its_service() -> None:
    c = Config()
    c.JupyterHub.base_url = "/hubs/one/"
    c.JupyterHub.services = [{"name": "binder", "url": "http://build:8585"}]
    c.JupyterHub.spawner_class = "kubespawner"
    setup_kubespawner(c, build_wait=60)
    spawner = c.JupyterHub.spawner_class
    assert spawner.__name__ == "KubeSpawner"
    assert spawner.launcher.service_url == "http://build:8585/hubs/one/services/binder/"
    assert spawner.launcher.build_wait == 60


def test_kubespawner_requires_a_service_with_an_address() -> None:
    with pytest.raises(LauncherError, match="no service 'binder' with a url"):
        setup_kubespawner(Config())


def test_another_spawner_is_refused() -> None:
    c = Config()
    c.JupyterHub.spawner_class = "jupyterhub.spawner.SimpleLocalProcessSpawner"
    with pytest.raises(LauncherError, match="must be a KubeSpawner, not SimpleLocalProcessSpawner"):
        setup_kubespawner(c, service_url=URL)
