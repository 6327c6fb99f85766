"""`repo2hub demo-hub`: a JupyterHub with the launcher on this machine, ready to log in, until Ctrl-C.

It is the real thing: the hub runs `examples/dockerspawner/jupyterhub_config.py`, servers are containers, web and
builder are those of a production site. Only GitHub is stood in for, unless REPO2HUB_GITHUB_URL names one.
"""

import os
import secrets
import shutil
import signal
import socket
import sys
import time
from contextlib import ExitStack, closing, suppress
from ipaddress import ip_network
from pathlib import Path

import click
import requests

from db.settings import PREFIX
from repo2hub import jupyterlab
from repo2hub.demo import EXAMPLE, NOTEBOOK, REPOSITORY
from repo2hub.failures import CommandFailed
from repo2hub.stage import IMAGES, Interrupted, Stage, set_up
from repo2hub.terminal import Terminal

CONFIG = EXAMPLE.parent / "dockerspawner" / "jupyterhub_config.py"
SERVICE = "binder"
USER = "ada"
BRANCH = "more-seeds"
"""A branch of the example that was not pushed with a delivery, so that there is something to build."""
_LIMIT = 90.0
_PREFERRED = (8000, 8081, 8585)


@click.command("demo-hub")
def demo_hub() -> None:
    """Try the launcher: a JupyterHub on this machine, ready to log in, until Ctrl-C.

    Run by `make hub`, which sees to a container engine, a base image and the hub's proxy first.
    """
    terminal = Terminal()
    try:
        _run(terminal)
    except Interrupted:
        terminal.note("stopped: hub, proxy, servers, web and builder")
    except (OSError, RuntimeError) as exc:
        raise CommandFailed(f"the hub of the demo failed: {exc}") from exc


def _run(terminal: Terminal) -> None:
    for program in ("jupyterhub", "configurable-http-proxy"):
        if shutil.which(program, path=_path()) is None:
            raise CommandFailed(f"{program} is not there; in the source of repo2hub, `make hub` brings it")
    hub_port, api_port, web_port = _free_ports(_PREFERRED)
    given = os.environ.get(f"{PREFIX}GITHUB_URL")
    terminal.say("== start: web and builder", "bold")
    jupyterlab.forget_images(IMAGES)
    token = secrets.token_hex(32)
    settings = {"AUTH": "jupyterhub", "PORT": str(web_port), "BASE_URL": f"/services/{SERVICE}/"}
    if given:
        settings["GITHUB_URL"] = given
    _introduce(api_port, token)
    with ExitStack() as stack:
        stage = stack.enter_context(set_up(REPOSITORY, settings))
        if not given:
            terminal.say(f"== push: {REPOSITORY}, as a signed delivery; its build begins", "bold")
            _push_example(stage)
        terminal.say("== start: JupyterHub and its proxy", "bold")
        hub = f"http://127.0.0.1:{hub_port}"
        password = secrets.token_urlsafe(9)
        _start_hub(stage, hub, api_port, token, password)
        _wait(f"{hub}/hub/api/", stage)
        _welcome(terminal, hub, password, given)
        while True:
            signal.pause()


def _introduce(api_port: int, token: str) -> None:
    """Tell the web process of the hub, by the variables that a hub tells its services."""
    os.environ |= {
        "JUPYTERHUB_API_TOKEN": token,
        "JUPYTERHUB_API_URL": f"http://{bridge_address()}:{api_port}/hub/api",
        "JUPYTERHUB_CLIENT_ID": f"service-{SERVICE}",
        "JUPYTERHUB_SERVICE_NAME": SERVICE,
        "JUPYTERHUB_SERVICE_PREFIX": f"/services/{SERVICE}/",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": f'["access:services!service={SERVICE}"]',
    }


def bridge_address() -> str:
    """Return where the hub listens for its containers, as the launcher's function of this name, which see."""
    import docker  # noqa: PLC0415 -- of the builder's extra

    with closing(docker.from_env()) as engine:
        config = engine.networks.get("bridge").attrs["IPAM"]["Config"][0]
    return str(config.get("Gateway") or next(ip_network(config["Subnet"]).hosts()))


def _push_example(stage: Stage) -> None:
    files = {path.name: path.read_bytes() for path in EXAMPLE.glob("*") if path.is_file()}
    stage.push(files, "Grow a sunflower")
    head = stage.repository.head()
    changed = files[NOTEBOOK].replace(b"seeds = 200", b"seeds = 500")
    stage.repository.commit({NOTEBOOK: changed}, message="More seeds", branch=BRANCH, parents=(str(head),))


def _start_hub(stage: Stage, url: str, api_port: int, token: str, password: str) -> None:
    folder = stage.settings.data_dir / "hub"
    folder.mkdir(mode=0o700, exist_ok=True)
    [proxy_port] = _free_ports((8001,))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTERHUB_")} | {
        "PATH": _path(),
        "HUB_URL": url,
        "HUB_API_PORT": str(api_port),
        "HUB_SERVICE_URL": stage.address,
        "HUB_SERVICE_TOKEN": token,
        "HUB_PASSWORD": password,
    }
    argv = [
        sys.executable,
        "-m",
        "jupyterhub",
        f"--config={CONFIG}",
        f"--JupyterHub.db_url=sqlite:///{folder}/jupyterhub.sqlite",
        f"--JupyterHub.cookie_secret_file={folder}/cookie_secret",
        f"--ConfigurableHTTPProxy.pid_file={folder}/proxy.pid",
        f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{proxy_port}",
        "--DockerSpawner.prefix=repo2hub-demo-hub",
    ]
    stage.children.start("hub", argv, environ, stage.settings.data_dir / "hub.log")


def _path() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def _wait(address: str, stage: Stage) -> None:
    deadline = time.monotonic() + _LIMIT
    session = requests.Session()
    session.trust_env = False  # a proxy is of no use for this machine itself
    with session:
        while time.monotonic() < deadline:
            with suppress(requests.RequestException):
                if session.get(address, timeout=5).ok:
                    return
            time.sleep(0.2)
    raise CommandFailed(f"the hub does not answer; its log is {stage.settings.data_dir / 'hub.log'}")


def _welcome(terminal: Terminal, hub: str, password: str, given: str | None) -> None:
    terminal.say("")
    terminal.say(f"JupyterHub is at {hub}", "good")
    terminal.say(f"  user      {USER}, or any other name")
    terminal.say(f"  password  {password}")
    if given:
        terminal.say(f"  build     any repository of {given}")
    else:
        terminal.say(f"  ready     {REPOSITORY}, as soon as its build is done")
        terminal.say(f"  build     {REPOSITORY} at {BRANCH}")
        terminal.say(f"  or        {hub}/services/{SERVICE}/v2/gh/{REPOSITORY}/{BRANCH}")
    terminal.say(f"  builds    {hub}/services/{SERVICE}/")
    terminal.say("It stays up until Ctrl-C.")


def _free_ports(wanted: tuple[int, ...]) -> list[int]:
    """Return a free port for each: the usual one, else any other."""
    with ExitStack() as stack:
        return [_bind(stack, port) for port in wanted]


def _bind(stack: ExitStack, wanted: int) -> int:
    for port in (wanted, 0):
        probe = stack.enter_context(socket.socket())
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found: int = probe.getsockname()[1]
            return found
    raise CommandFailed("no port is free on 127.0.0.1")
