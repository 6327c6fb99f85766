"""What `repo2hub doctor` asks over a connection: the database, GitHub, the registry, the hub.

Each check has a time limit, changes nothing, and names no password.
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
from repo2hub.client.service import root_cause
from repo2hub.doctor.machine_checks import Finding, broken, ok, warning

TIMEOUT = 8.0
"""Seconds for one answer over HTTP."""
_UPGRADE_COMMAND = "repo2hub db upgrade"


def database(url: str) -> Finding:
    """The database: is it there, and are its tables those of this release."""
    part = "database"
    parsed = make_url(url)
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "sqlite":
        # Connecting would make the file.
        if parsed.database and not Path(parsed.database).exists():
            return warning(part, shown, "not made yet; `repo2hub up` makes it", _UPGRADE_COMMAND)
    elif find_spec("psycopg") is None:
        return broken(part, shown, "the driver is missing", "pip install 'repo2hub[postgresql]'")
    opened = Database(url)
    try:
        if migrate.is_current(opened):
            return ok(part, shown)
        if migrate.is_newer(opened):
            problem = "a newer release has upgraded it; only the one right before that works on its tables"
            return warning(part, shown, problem, "pip install --upgrade repo2hub")
        return broken(part, shown, "its tables are not those of this release", _UPGRADE_COMMAND)
    except SQLAlchemyError as exc:
        fix = "psql " + shlex.quote(parsed.set(drivername="postgresql").render_as_string())
        problem = f"does not answer: {_first_line(getattr(exc, 'orig', None) or exc)}"
        return broken(part, shown, problem, fix if opened.url.host else f"ls -l {parsed.database}")
    finally:
        opened.dispose()


def github(url: str) -> Finding:
    """GitHub, or what stands in for it."""
    part = "GitHub"
    try:
        answer = requests.get(url, timeout=TIMEOUT, allow_redirects=False, stream=True)
        answer.close()
    except requests.exceptions.SSLError as exc:
        fix = "export REQUESTS_CA_BUNDLE=/path/to/ca.pem GIT_SSL_CAINFO=/path/to/ca.pem"
        return broken(part, url, f"its certificate is not trusted here: {root_cause(exc)}", fix)
    except requests.RequestException as exc:
        problem = f"out of reach, so nothing can be fetched: {root_cause(exc)}"
        return broken(part, url, problem, f"curl -v {shlex.quote(url)}")
    if answer.status_code >= 500:
        return warning(part, url, f"answers with HTTP {answer.status_code}", f"curl -v {shlex.quote(url)}")
    return ok(part, f"{url} answers")


def hub(api_url: str, token: str) -> Finding:
    """The hub whose service this is: it must answer, and know the service by its token."""
    part = "hub"
    fix = f"curl -v {shlex.quote(api_url)}"
    with requests.Session() as session:
        session.trust_env = False  # as the service asks it
        headers = {"Authorization": f"Bearer {token}"}
        try:
            about = session.get(f"{api_url.rstrip('/')}/", timeout=TIMEOUT, allow_redirects=False)
            known = session.get(f"{api_url.rstrip('/')}/user", headers=headers, timeout=TIMEOUT)
            version = about.json()["version"]
            name = known.json().get("name") if known.ok else None
        except requests.exceptions.JSONDecodeError:
            return broken(part, api_url, "is no hub's API; set JUPYTERHUB_API_URL", fix)
        except requests.RequestException as exc:
            return broken(part, api_url, f"out of reach, so nobody can log in: {root_cause(exc)}", fix)
    if name is None:
        problem = "does not know this service's JUPYTERHUB_API_TOKEN; its configuration names the right one"
        return broken(part, api_url, problem, "grep -n api_token jupyterhub_config.py")
    return ok(part, f"JupyterHub {version} at {api_url} knows this service as {name}")


def registry(url: str) -> Finding:
    """The registry: GET /v2/, which every registry answers with 200 or asks for a login at."""
    part = "registry"
    host = registry_host(url).partition("/")[0]
    scheme = "http" if url.startswith("http://") else "https"
    address = f"{scheme}://{host}/v2/"
    try:
        answer = requests.get(address, timeout=TIMEOUT, allow_redirects=False)
    except requests.RequestException as exc:
        return broken(part, url, f"out of reach: {root_cause(exc)}", f"curl -v {shlex.quote(address)}")
    if answer.status_code == 200:
        return ok(part, f"{url} answers")
    if answer.status_code != 401:
        problem = f"answers {address} with HTTP {answer.status_code}, as no registry does"
        return broken(part, url, problem, f"curl -v {shlex.quote(address)}")
    if _has_login(host):
        return ok(part, f"{url} answers, and docker has a login for it")
    return broken(part, url, "wants a login, and docker has none for it", f"docker login {host}")


def _has_login(host: str) -> bool:
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(config.get("credsStore")) or any(
        host in config.get(key, {}) for key in ("auths", "credHelpers")
    )


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:200]
