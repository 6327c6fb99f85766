"""A real JupyterHub behind a real configurable-http-proxy, on loopback ports of its own.

Anybody may log in, with any password (DummyAuthenticator); servers are processes of this machine unless the
configuration says otherwise. It ends with the test run, even one that was killed.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import requests

from tests.conftest import ROOT
from tests.support.registry import free_port

PROXY = ROOT / "machine" / "npm" / "node_modules" / ".bin" / "configurable-http-proxy"
ADMIN = "admin"
"""The user who is an admin of the hub."""
_TOKEN = "token-of-the-tests-who-may-do-everything"
_START_LIMIT = 120  # seconds, on a machine that others use too
_STOP_LIMIT = 60

_CONFIG = """
c = get_config()
c.JupyterHub.bind_url = {url!r}
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.ConfigurableHTTPProxy.pid_file = "{folder}/proxy.pid"
c.JupyterHub.db_url = "sqlite:///{folder}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{{admin!r}}}
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.services = [{{"name": "tests", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [
    {{
        "name": "tests",
        "services": ["tests"],
        "scopes": ["admin:users", "admin:groups", "admin:servers", "tokens", "list:services", "read:hub"],
    }}
]
"""


@dataclass
class Hub:
    """A hub on a folder of its own; `config` is Python that follows ours in its jupyterhub_config.py.

    The services and roles of `config` are added to ours: `c.JupyterHub.services += [...]`. `python` is of an
    environment with another JupyterHub in it; `environ` adds to what the hub's process inherits.
    """

    folder: Path
    config: str = ""
    python: str = sys.executable
    environ: Mapping[str, str] = field(default_factory=dict)
    ip: str = "127.0.0.1"
    """Where the proxy listens: containers reach it at their bridge's address only."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self._hub_port, self._proxy_port = free_port(), free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The hub's public address, without a slash at its end."""
        return f"http://{self.ip}:{self.port}"

    @property
    def api_url(self) -> str:
        """The address that services and servers know the hub's API by."""
        return f"http://127.0.0.1:{self._hub_port}/hub/api"

    @property
    def log_path(self) -> Path:
        return self.folder / "jupyterhub.log"

    def start(self) -> None:
        """Start it, and wait until the proxy answers for it."""
        config = self.folder / "jupyterhub_config.py"
        config.write_text(self._configuration())
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("REPO2HUB_", "JUPYTERHUB_", "CONFIGPROXY_"))
        }
        # The service command `repo2hub` and jupyterhub-singleuser are beside the Python.
        path = f"{Path(self.python).parent}:{Path(sys.executable).parent}:{kept.get('PATH', '')}"
        # setpriv: it is stopped when the thread that started it is gone, however that came about.
        argv = ["setpriv", "--pdeathsig", "TERM", self.python, "-m", "jupyterhub", "-f", str(config)]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                cwd=self.folder,
                env=kept | {"PATH": path} | dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def _configuration(self) -> str:
        ours = _CONFIG.format(
            url=self.url,
            hub_port=self._hub_port,
            proxy_port=self._proxy_port,
            proxy=str(PROXY),
            folder=self.folder,
            admin=ADMIN,
            token=_TOKEN,
        )
        return f"{ours}\n{self.config}\n"

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_LIMIT
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(requests.RequestException):
                if requests.get(f"{self.url}/hub/api/", timeout=5).status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(self.log_path.read_text()[-8000:])

    def stop(self) -> None:
        """Stop it with its proxy, services and servers; what does not stop is killed."""
        if self._process is None:
            return
        family = _descendants(self._process.pid)
        self._process.terminate()
        try:
            self._process.wait(timeout=_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid, born in family.items():
            if _born(pid) == born:  # and no other that was given its number since
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._process = None

    def login(self, name: str, password: str = "any") -> requests.Session:
        """Log a user in, as their browser would, and return the session."""
        session = requests.Session()
        form = session.get(f"{self.url}/hub/login", timeout=30)
        assert form.status_code == 200, form.text
        answer = session.post(
            f"{self.url}/hub/login",
            params={"_xsrf": self.xsrf(session)},
            # To a page that starts no server, where login would.
            data={"username": name, "password": password, "_xsrf": self.xsrf(session)},
            allow_redirects=False,
            timeout=30,
        )
        assert answer.status_code == 302, answer.text
        session.get(f"{self.url}/hub/token", timeout=30).raise_for_status()
        return session

    def xsrf(self, session: requests.Session) -> str:
        """Return the hub's own XSRF token in a session: its API wants it as ?_xsrf=."""
        tokens = [one.value for one in session.cookies if one.name == "_xsrf" and one.path == "/hub/"]
        return tokens[0] or ""

    def api(self, method: str, path: str, body: object = None, *, token: str = _TOKEN) -> Any:
        """Call the hub's API (`path` as in "users/alice"), by default with a token that may do everything.

        Returns the JSON of the answer, None where there is none. Raises requests.HTTPError.
        """
        answer = requests.request(
            method,
            f"{self.url}/hub/api/{path}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )
        if not answer.ok:
            raise requests.HTTPError(f"{answer.status_code} {answer.text}", response=answer)
        return answer.json() if answer.content else None

    def add_user(self, name: str, *groups: str) -> None:
        """Create a user, the groups if they do not exist, and the memberships."""
        self._make(f"users/{name}")
        for group in groups:
            self._make(f"groups/{group}")
            self.api("POST", f"groups/{group}/users", {"users": [name]})

    def _make(self, path: str) -> None:
        try:
            self.api("POST", path)
        except requests.HTTPError as exc:
            if exc.response.status_code != 409:  # it is there already
                raise

    def token(self, name: str, scopes: Collection[str] | None = None) -> str:
        """Return a new API token of a user: with their own scopes, or with some of them."""
        self.add_user(name)
        body: dict[str, object] = {"expires_in": 3600}
        if scopes is not None:
            body["scopes"] = list(scopes)
        made: str = self.api("POST", f"users/{name}/tokens", body)["token"]
        return made

    def revoke(self, name: str, token: str) -> None:
        """Revoke all tokens of a user, `token` among them."""
        assert self.api("GET", "user", token=token)["name"] == name
        for kept in self.api("GET", f"users/{name}/tokens")["api_tokens"]:
            self.api("DELETE", f"users/{name}/tokens/{kept['id']}")

    @cached_property
    def version(self) -> str:
        """The hub's version, such as 6.1.1."""
        said: str = self.api("GET", "")["version"]
        return said


@dataclass(frozen=True)
class External:
    """A service that the hub does not start itself, and what each must know of the other."""

    name: str
    port: int
    token: str = "token-of-a-service-that-nobody-guesses"

    def config(self, *, everybody: bool = True) -> str:
        """Return the hub's configuration for the service; with `everybody` all users may use it."""
        service = {
            "name": self.name,
            "url": f"http://127.0.0.1:{self.port}",
            "api_token": self.token,
            "oauth_no_confirm": True,
        }
        role = {
            "name": self.name,
            "services": [self.name],
            "scopes": ["read:users:name", "read:users:groups", "read:roles:users"],
        }
        lines = [f"c.JupyterHub.services += [{service!r}]", f"c.JupyterHub.load_roles += [{role!r}]"]
        if everybody:
            user = {"name": "user", "scopes": ["self", self.scope]}
            lines.append(f"c.JupyterHub.load_roles += [{user!r}]")
        return "\n".join(lines)

    @property
    def scope(self) -> str:
        """The scope that a user needs to use the service."""
        return f"access:services!service={self.name}"

    def environ(self, hub: Hub) -> dict[str, str]:
        """Return the variables that the service needs, and would be given by a hub that starts it."""
        return {
            "JUPYTERHUB_API_TOKEN": self.token,
            "JUPYTERHUB_API_URL": hub.api_url,
            "JUPYTERHUB_CLIENT_ID": f"service-{self.name}",
            "JUPYTERHUB_SERVICE_NAME": self.name,
            "JUPYTERHUB_SERVICE_PREFIX": f"/services/{self.name}/",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": f'["{self.scope}"]',
        }


def _descendants(pid: int) -> dict[int, str]:
    """Return the processes that a process started, and theirs, each with when it was born."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents.setdefault(int(_stat(int(folder.name))[1]), []).append(int(folder.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return {child: _born(child) for child in found}


def _born(pid: int) -> str:
    try:
        return _stat(pid)[19]
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """Return the fields of a process from its state on: its name, in brackets, can hold anything."""
    return re.sub(r"^.*\)\s", "", Path(f"/proc/{pid}/stat").read_text(), flags=re.DOTALL).split()
