"""Add the launcher to a hub's configuration; refuse settings that contradict it."""

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
    """Let the hub start servers with DockerSpawner from images that repo2hub builds.

    `service_url` is the address at which the hub reaches the service, with its base path
    /services/<service_name>/. `service_token` is the service's JUPYTERHUB_API_TOKEN; it is not needed if
    c.JupyterHub.services lists the service. `fixed_images` maps display names to images. `resources` maps
    display names to sizes like {"memory": "2G", "cpu": 1}; the first is the default. A start waits `build_wait`
    seconds for a build. With `allow_autostart` a link may start a server without a click. Raises LauncherError,
    which stops the hub.
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
            "DockerSpawner is not installed in the hub's environment. Run: pip install dockerspawner"
        )
    _refuse_contradictions(c)
    _add_service(c, service_name, service_url, service_token)
    _grant_access(c, service_name)
    c.JupyterHub.spawner_class = _DOCKERSPAWNER_CLASS
    c.LauncherDockerSpawner.launcher = settings
    c.LauncherDockerSpawner.remove = True
    if not any("cmd" in c[name] for name in ("Spawner", "DockerSpawner") if name in c):
        # The command of the image would start a Jupyter server without a hub.
        c.LauncherDockerSpawner.cmd = ["jupyterhub-singleuser"]


def setup_kubespawner(
    c: Config, *, service_name: str = "binder", service_url: str | None = None, build_wait: int = 3600
) -> None:
    """Let a hub with KubeSpawner and jupyterhub-fancy-profiles start the newest image of what its users enter.

    Call it after c.JupyterHub.services and c.JupyterHub.spawner_class are set; keep setup_ui(c) of
    fancy-profiles. It uses no hook, so c.KubeSpawner.pre_spawn_hook, modify_pod_hook and the others run as
    before. `service_url` is the address at which the hub reaches the service, with its base path; by default
    that of c.JupyterHub.services. A start waits `build_wait` seconds for a build. Raises LauncherError, which
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
    # Imported here, because hubs with another spawner do not have KubeSpawner.
    from kubespawner import KubeSpawner  # noqa: PLC0415

    from repo2hub_launcher.kubespawner.spawner import LauncherKubeSpawner  # noqa: PLC0415

    spawner = c.JupyterHub.get("spawner_class") or "kubespawner"
    if isinstance(spawner, str):
        spawner = import_item("kubespawner.KubeSpawner" if spawner == "kubespawner" else spawner)
    if not issubclass(spawner, KubeSpawner):
        raise LauncherError(
            f"setup_kubespawner: c.JupyterHub.spawner_class must be a KubeSpawner, not {spawner.__name__}"
        )
    # With the same name, so that c.KubeSpawner still configures it.
    c.JupyterHub.spawner_class = type(
        spawner.__name__, (LauncherKubeSpawner, spawner), {"launcher": settings}
    )


def _service_address(c: Config, name: str) -> str:
    """Return the address at which the hub reaches a service of its configuration."""
    services = [service for service in _config_list(c, "services") if service.get("name") == name]
    if not services or not services[0].get("url"):
        raise LauncherError(
            f"setup_kubespawner: c.JupyterHub.services has no service {name!r} with a url. Add it above this "
            f"line, or set service_url to its address with the base path, such as http://host:8585/services/{name}/"
        )
    base = (c.JupyterHub.get("base_url") or "/").rstrip("/")
    return f"{services[0]['url'].rstrip('/')}{base}/services/{name}/"


def _refuse_contradictions(c: Config) -> None:
    errors = []
    for name in ("Spawner", "DockerSpawner"):
        if name not in c:
            continue
        errors += [
            f"c.{name}.{option}: the launcher sets this option. Remove it; you can use c.Spawner.pre_spawn_hook."
            for option in ("options_form", "options_from_form", "apply_user_options")
            if option in c[name]
        ]
        if c[name].get("remove") is False:
            errors.append(
                f"c.{name}.remove: must not be False, or servers start again from their previous image"
            )
    if errors:
        raise LauncherError.of(errors)


def _add_service(c: Config, name: str, url: str, token: str | None) -> None:
    services = _config_list(c, "services")
    if any(service.get("name") == name for service in services):
        return
    if not token:
        raise LauncherError.of(
            [
                f"service_token: set it to JUPYTERHUB_API_TOKEN of the service {name}, or list the service in "
                "c.JupyterHub.services"
            ]
        )
    # Without the path, which the hub adds.
    origin = "/".join(url.split("/", 3)[:3])
    services.append({"name": name, "url": origin, "api_token": token, "oauth_no_confirm": True})
    # So that the service can read the groups of users, and which users are admins.
    scopes = ["read:users:name", "read:users:groups", "read:roles:users"]
    _config_list(c, "load_roles").append({"name": f"service-{name}", "services": [name], "scopes": scopes})


def _grant_access(c: Config, name: str) -> None:
    """Give every user access to the service, in addition to the scopes of the role `user`."""
    roles = _config_list(c, "load_roles")
    for role in roles:
        if role.get("name") == "user":
            if access_scope(name) not in role.setdefault("scopes", ["self"]):
                role["scopes"].append(access_scope(name))
            return
    roles.append({"name": "user", "scopes": ["self", access_scope(name)]})


def _config_list(c: Config, name: str) -> Any:
    """Return a list option of c.JupyterHub, which is created if it is not set; changes of it take effect."""
    value = c.JupyterHub.get(name)
    if value is None or isinstance(value, LazyConfigValue):
        value = list(value.get_value([])) if value is not None else []
        c.JupyterHub[name] = value
    return value
