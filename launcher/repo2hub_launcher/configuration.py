"""Two lines of jupyterhub_config.py: the launcher put into a hub's configuration; contradictions are refused."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue
from traitlets.utils.importstring import import_item

from repo2hub_launcher.service.user_token import access_scope
from repo2hub_launcher.settings import LauncherError, validate_settings

_DOCKERSPAWNER_CLASS = "repo2hub_launcher.dockerspawner.spawner.LauncherDockerSpawner"


def setup_dockerspawner(
    c: Config,
    *,
    service_url: str,
    service_token: str | None = None,
    service_name: str = "binder",
    fixed_images: Mapping[str, str] | None = None,
    resources: Mapping[str, Mapping[str, Any]] | None = None,
    build_wait: int = 3600,
    allow_autostart: bool = False,
) -> None:
    """Let the hub start servers with DockerSpawner from images that repo2hub built.

    `service_url` is where the hub reaches the service, with its base path /services/<service_name>/;
    `service_token` is the service's JUPYTERHUB_API_TOKEN, and needed unless c.JupyterHub.services has the service
    already. `fixed_images` maps names that people read to images; `resources` maps such names to sizes like
    {"memory": "2G", "cpu": 1}, the first being the default. A start waits `build_wait` seconds for a build.
    With `allow_autostart` a link may start a server without a click. Raises LauncherError, which stops the hub.
    """
    settings = validate_settings(
        service_url=service_url,
        service_name=service_name,
        fixed_images=fixed_images or {},
        resources=resources or {},
        build_wait=build_wait,
        allow_autostart=allow_autostart,
    )
    if find_spec("dockerspawner") is None:
        raise LauncherError(
            "DockerSpawner is not installed in the hub's environment: pip install dockerspawner"
        )
    _refuse_contradictions(c)
    _add_service(c, service_name, service_url, service_token)
    _grant_access(c, service_name)
    c.JupyterHub.spawner_class = _DOCKERSPAWNER_CLASS
    c.LauncherDockerSpawner.launcher = settings
    c.LauncherDockerSpawner.remove = True
    if not any("cmd" in c[name] for name in ("Spawner", "DockerSpawner") if name in c):
        # An image's own command would start a Jupyter that knows of no hub.
        c.LauncherDockerSpawner.cmd = ["jupyterhub-singleuser"]


def setup_kubespawner(
    c: Config, *, service_name: str = "binder", service_url: str | None = None, build_wait: int = 3600
) -> None:
    """Let a hub with KubeSpawner and jupyterhub-fancy-profiles start the newest image of what its users entered.

    Below c.JupyterHub.services and c.JupyterHub.spawner_class in the configuration; fancy-profiles' own
    setup_ui(c) stays. No hook is taken: c.KubeSpawner.pre_spawn_hook, modify_pod_hook and the others run as
    before. `service_url` is where the hub reaches the service, with its base path; by default, where
    c.JupyterHub.services has it. A start waits `build_wait` seconds for a build. Raises LauncherError, which
    stops the hub.
    """
    settings = validate_settings(
        service_url=service_url or _service_address(c, service_name),
        service_name=service_name,
        fixed_images={},
        resources={},
        build_wait=build_wait,
        allow_autostart=False,
    )
    _grant_access(c, service_name)
    # Only here: a hub with another spawner has no KubeSpawner to import.
    from kubespawner import KubeSpawner  # noqa: PLC0415

    from repo2hub_launcher.kubespawner.spawner import LauncherKubeSpawner  # noqa: PLC0415

    given = c.JupyterHub.get("spawner_class") or "kubespawner"
    if isinstance(given, str):
        given = import_item("kubespawner.KubeSpawner" if given == "kubespawner" else given)
    if not issubclass(given, KubeSpawner):
        raise LauncherError(
            f"setup_kubespawner: c.JupyterHub.spawner_class is {given.__name__}, no KubeSpawner"
        )
    # Under the same name, so that c.KubeSpawner and the like configure it as before.
    c.JupyterHub.spawner_class = type(given.__name__, (LauncherKubeSpawner, given), {"launcher": settings})


def _service_address(c: Config, name: str) -> str:
    """Return where the hub reaches a service of its configuration."""
    services = [service for service in _config_list(c, "services") if service.get("name") == name]
    if not services or not services[0].get("url"):
        raise LauncherError(
            f"setup_kubespawner: c.JupyterHub.services has no service {name!r} with a url. Put it above this "
            f"line, or give service_url: its address with the base path, http://host:8585/services/{name}/"
        )
    base = (c.JupyterHub.get("base_url") or "/").rstrip("/")
    return f"{services[0]['url'].rstrip('/')}{base}/services/{name}/"


def _refuse_contradictions(c: Config) -> None:
    wrong = []
    for name in ("Spawner", "DockerSpawner"):
        if name not in c:
            continue
        wrong += [
            f"c.{name}.{option}: it is the launcher's own; leave it out (c.Spawner.pre_spawn_hook stays yours)"
            for option in ("options_form", "options_from_form", "apply_user_options")
            if option in c[name]
        ]
        if c[name].get("remove") is False:
            wrong.append(f"c.{name}.remove: with False a server would start again from its previous image")
    if wrong:
        raise LauncherError("repo2hub's launcher is configured wrongly:\n  " + "\n  ".join(wrong))


def _add_service(c: Config, name: str, url: str, token: str | None) -> None:
    services = _config_list(c, "services")
    if any(service.get("name") == name for service in services):
        return
    if not token:
        raise LauncherError(
            "repo2hub's launcher is configured wrongly:\n  service_token: give the token that the service "
            f"{name} has as JUPYTERHUB_API_TOKEN, or list the service in c.JupyterHub.services"
        )
    # The hub adds the base path by itself.
    origin = "/".join(url.split("/", 3)[:3])
    services.append({"name": name, "url": origin, "api_token": token, "oauth_no_confirm": True})
    # So that the service knows of its users' groups, and which of them are the hub's admins.
    scopes = ["read:users:name", "read:users:groups", "read:roles:users"]
    _config_list(c, "load_roles").append({"name": f"service-{name}", "services": [name], "scopes": scopes})


def _grant_access(c: Config, name: str) -> None:
    """Let every user use the service, beside what the role `user` holds already."""
    roles = _config_list(c, "load_roles")
    for role in roles:
        if role.get("name") == "user":
            if access_scope(name) not in role.setdefault("scopes", ["self"]):
                role["scopes"].append(access_scope(name))
            return
    roles.append({"name": "user", "scopes": ["self", access_scope(name)]})


def _config_list(c: Config, name: str) -> Any:
    """Return a list of c.JupyterHub that may be added to, made if it is not there."""
    given = c.JupyterHub.get(name)
    if given is None or isinstance(given, LazyConfigValue):
        given = list(given.get_value([])) if given is not None else []
        c.JupyterHub[name] = given
    return given
