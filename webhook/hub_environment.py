"""Read the JUPYTERHUB_ variables that a hub sets for its services. Pure.

A hub sets them for a service that it starts; for an external service, the admin does. They count with
REPO2HUB_AUTH=jupyterhub only: a terminal in a user's JupyterLab has variables of the same names, about that
server. Imports only the standard library, because the command line's client uses it too.
"""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

_NEEDED = {
    "JUPYTERHUB_API_TOKEN": "the api_token of this service in the hub's configuration",
    "JUPYTERHUB_API_URL": "such as http://127.0.0.1:8081/hub/api",
    "JUPYTERHUB_CLIENT_ID": "service- and the name of the service, such as service-binder",
    "JUPYTERHUB_SERVICE_PREFIX": "such as /services/binder/",
}
_SCOPES = "JUPYTERHUB_OAUTH_ACCESS_SCOPES"


def read_settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings base_url, host and port, as far as the hub sets them."""
    found: dict[str, Any] = {}
    if prefix := environ.get("JUPYTERHUB_SERVICE_PREFIX"):
        found["base_url"] = prefix
    try:
        url = urlsplit(environ.get("JUPYTERHUB_SERVICE_URL", ""))
        address = {"host": url.hostname, "port": url.port}
    except ValueError:  # `validation_errors` reports it
        address = {}
    return found | {name: value for name, value in address.items() if value is not None}


def validation_errors(environ: Mapping[str, str]) -> list[str]:
    """Return what is missing or wrong in the variables that REPO2HUB_AUTH=jupyterhub needs."""
    found = [f"{name} is not set ({what})" for name, what in _NEEDED.items() if not environ.get(name)]
    if find_spec("jupyterhub") is None:
        found.append("jupyterhub is not installed: in a checkout of repo2hub, run pip install '.[hub]'")
    scopes = environ.get(_SCOPES)
    if scopes and not _is_list_of_scopes(scopes):
        found.append(f'{_SCOPES} must be a list such as ["access:services!service=binder"]')
    if not scopes and not environ.get("JUPYTERHUB_SERVICE_NAME"):
        found.append(
            f'neither {_SCOPES} (["access:services!service=binder"]) nor JUPYTERHUB_SERVICE_NAME is set'
        )
    return [*found, *_address_errors(environ)]


def _is_list_of_scopes(text: str) -> bool:
    try:
        scopes = json.loads(text)
    except ValueError:
        return False
    return isinstance(scopes, list) and bool(scopes) and all(isinstance(one, str) and one for one in scopes)


def _address_errors(environ: Mapping[str, str]) -> list[str]:
    found = []
    for name in ("JUPYTERHUB_API_URL", "JUPYTERHUB_SERVICE_URL"):
        if not (text := environ.get(name)):
            continue
        try:
            url = urlsplit(text)
            is_valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except ValueError:
            is_valid = False
        if not is_valid:
            found.append(f"{name} must be an address such as http://127.0.0.1:8081")
    return found
