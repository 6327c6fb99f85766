"""Two lines of a hub's configuration: what they set, and what stops the hub with every wrong value named."""

from typing import Any

import pytest
from traitlets.config import Config

from repo2hub_launcher import LauncherError, setup_dockerspawner

URL = "http://127.0.0.1:8585/services/binder/"


def configured(c: Config | None = None, **more: Any) -> Config:
    c = Config() if c is None else c
    setup_dockerspawner(c, **{"service_url": URL, "service_token": "t", **more})
    return c


def test_two_lines_are_enough() -> None:
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


def test_what_the_admin_has_already_stays() -> None:
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


def test_what_was_only_added_to_is_added_to() -> None:
    c = Config()
    c.JupyterHub.services.append({"name": "culler"})
    configured(c)
    assert [service["name"] for service in c.JupyterHub.services] == ["culler", "binder"]


def test_every_wrong_value_is_named_at_once() -> None:
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
    said = str(refused.value)
    for name in ("service_url", "service_name", "fixed_images['Mine']", "build_wait", "allow_autostart"):
        assert name in said
    for name in ("Small", "Tiny", "Odd", "Bad"):
        assert f"resources[{name!r}]" in said


def test_a_service_needs_a_token() -> None:
    with pytest.raises(LauncherError, match="service_token"):
        configured(service_token=None)


@pytest.mark.parametrize("option", ["options_form", "options_from_form", "apply_user_options"])
def test_what_would_take_the_launchers_place_is_refused(option: str) -> None:
    c = Config()
    c.DockerSpawner[option] = "something"
    with pytest.raises(LauncherError, match=option):
        configured(c)


def test_a_container_that_would_start_again_from_its_old_image_is_refused() -> None:
    c = Config()
    c.DockerSpawner.remove = False
    with pytest.raises(LauncherError, match="remove"):
        configured(c)
