"""The checks of `repo2hub doctor` over a connection: database, GitHub, registry and hub.

Each check has a timeout, changes nothing, and prints no password.
"""

import json
import os
import shlex
from importlib.util import find_spec
from pathlib import Path

import requests
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from base.image_names import registry_host
from db import migrate
from db.database import Database
from repo2hub.client.service import direct_session, root_cause
from repo2hub.doctor.finding import Finding, broken, ok, warning
from repo2hub.output.error_text import first_line

TIMEOUT = 8.0
"""Seconds for one HTTP request."""
_UPGRADE_COMMAND = "repo2hub db upgrade"


def database(url: str) -> Finding:
    """Check that the database answers and has the schema of this release."""
    part = "database"
    parsed = make_url(url)
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "sqlite":
        # Connecting would create the file.
        if parsed.database and not Path(parsed.database).exists():
            problem = "the database does not exist yet; `repo2hub up` creates it, `web` and `builder` do not"
            return warning(part, shown, problem, _UPGRADE_COMMAND)
    elif find_spec("psycopg") is None:
        problem = "the PostgreSQL driver is not installed, so nothing can start"
        return broken(part, shown, problem, "pip install '.[postgresql]'  (in a checkout of repo2hub)")
    opened = Database(url)
    try:
        if migrate.is_current(opened):
            return ok(part, shown)
        if migrate.is_newer(opened):
            problem = "a newer release has migrated it; only the release right before that one works with it"
            return warning(
                part, shown, problem, "pip install --upgrade .  (in a checkout of the newer release)"
            )
        problem = "its schema is outdated, so `web` and `builder` do not start"
        return broken(part, shown, problem, _UPGRADE_COMMAND)
    except SQLAlchemyError as exc:
        fix = "psql " + shlex.quote(parsed.set(drivername="postgresql").render_as_string())
        problem = f"cannot connect, so nothing can start: {first_line(getattr(exc, 'orig', None) or exc)}"
        return broken(part, shown, problem, fix if opened.url.host else f"ls -l {parsed.database}")
    finally:
        opened.dispose()


def github(url: str) -> Finding:
    """Check that the server of REPO2HUB_GITHUB_URL answers."""
    part = "GitHub"
    fix = f"curl -v {shlex.quote(url)}"
    try:
        response = requests.get(url, timeout=TIMEOUT, allow_redirects=False, stream=True)
        response.close()
    except requests.exceptions.SSLError as exc:
        fix = "export REQUESTS_CA_BUNDLE=/path/to/ca.pem GIT_SSL_CAINFO=/path/to/ca.pem"
        problem = f"this machine does not trust its certificate, so nothing can be fetched: {root_cause(exc)}"
        return broken(part, url, problem, fix)
    except requests.RequestException as exc:
        return broken(part, url, f"cannot connect, so nothing can be fetched: {root_cause(exc)}", fix)
    if response.status_code >= 500:
        problem = f"it answers with HTTP {response.status_code}, so fetching may fail"
        return warning(part, url, problem, fix)
    return ok(part, f"{url} answers")


def hub(api_url: str, token: str) -> Finding:
    """Check that the hub answers and knows this service by its token."""
    part = "hub"
    fix = f"curl -v {shlex.quote(api_url)}"
    with direct_session() as session:
        headers = {"Authorization": f"Bearer {token}"}
        try:
            about = session.get(f"{api_url.rstrip('/')}/", timeout=TIMEOUT, allow_redirects=False)
            user = session.get(f"{api_url.rstrip('/')}/user", headers=headers, timeout=TIMEOUT)
            version = about.json()["version"]
            name = user.json().get("name") if user.ok else None
        except requests.exceptions.JSONDecodeError:
            problem = "this is not the API of a hub, so nobody can log in; set JUPYTERHUB_API_URL"
            return broken(part, api_url, problem, fix)
        except requests.RequestException as exc:
            return broken(part, api_url, f"cannot connect, so nobody can log in: {root_cause(exc)}", fix)
    if name is None:
        problem = "the hub does not know this JUPYTERHUB_API_TOKEN, so nobody can log in"
        return broken(part, api_url, problem, "grep -n api_token jupyterhub_config.py")
    return ok(part, f"JupyterHub {version} at {api_url} knows this service as {name}")


def registry(url: str) -> Finding:
    """Check the registry with GET /v2/, to which every registry answers 200, or 401 if it requires a login."""
    part = "registry"
    host = registry_host(url).partition("/")[0]
    scheme = "http" if url.startswith("http://") else "https"
    address = f"{scheme}://{host}/v2/"
    fix = f"curl -v {shlex.quote(address)}"
    try:
        response = requests.get(address, timeout=TIMEOUT, allow_redirects=False)
    except requests.RequestException as exc:
        return broken(part, url, f"cannot connect, so images cannot be pushed: {root_cause(exc)}", fix)
    if response.status_code == 200:
        return ok(part, f"{url} answers")
    if response.status_code != 401:
        problem = f"{address} answers with HTTP {response.status_code}, so it is not a registry"
        return broken(part, url, problem, fix)
    if _has_login(host):
        return ok(part, f"{url} answers, and docker has a login for it")
    problem = "it requires a login, and docker has none for it, so images cannot be pushed"
    return broken(part, url, problem, f"docker login {host}")


def _has_login(host: str) -> bool:
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(config.get("credsStore")) or any(
        host in config.get(key, {}) for key in ("auths", "credHelpers")
    )
