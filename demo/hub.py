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

from base.settings import PREFIX
from demo import jupyterlab
from demo.run import EXAMPLE, NOTEBOOK, REPOSITORY
from demo.services import DEMO_IMAGE_PREFIX, DemoServices, Interrupted, start_services
from repo2hub.output.errors import CommandFailed
from repo2hub.output.terminal import Terminal

CONFIG = EXAMPLE.parent / "dockerspawner" / "jupyterhub_config.py"
SERVICE = "binder"
USER = "ada"
BRANCH = "more-seeds"
"""A branch of the example that was not pushed with a delivery, so that there is something to build."""
_START_TIMEOUT = 90.0
_PREFERRED_PORTS = (8000, 8081, 8585)


@click.command("demo-hub")
def demo_hub() -> None:
    """Try the launcher: a JupyterHub on this machine, ready to log in, until Ctrl-C.

    Run by `make hub`, which sees to a container engine, a base image and the hub's proxy first.
    """
    terminal = Terminal()
    try:
        _run_hub(terminal)
    except Interrupted:
        terminal.note("stopped: hub, proxy, servers, web and builder")
    except (OSError, RuntimeError) as exc:
        raise CommandFailed(f"the hub of the demo failed: {exc}") from exc


def _run_hub(terminal: Terminal) -> None:
    for program in ("jupyterhub", "configurable-http-proxy"):
        if shutil.which(program, path=_search_path()) is None:
            raise CommandFailed(f"{program} is not there; in the source of repo2hub, `make hub` brings it")
    hub_port, api_port, web_port = _free_ports(_PREFERRED_PORTS)
    given = os.environ.get(f"{PREFIX}GITHUB_URL")
    terminal.echo("== start: web and builder", "bold")
    jupyterlab.remove_images_with_prefix(DEMO_IMAGE_PREFIX)
    token = secrets.token_hex(32)
    settings = {"AUTH": "jupyterhub", "PORT": str(web_port), "BASE_URL": f"/services/{SERVICE}/"}
    if given:
        settings["GITHUB_URL"] = given
    _set_hub_variables(api_port, token)
    with ExitStack() as stack:
        services = stack.enter_context(start_services(REPOSITORY, settings))
        if not given:
            terminal.echo(f"== push: {REPOSITORY}, as a signed delivery; its build begins", "bold")
            _push_example(services)
        terminal.echo("== start: JupyterHub and its proxy", "bold")
        hub = f"http://127.0.0.1:{hub_port}"
        password = secrets.token_urlsafe(9)
        _start_hub(services, hub, api_port, token, password)
        _wait_until_up(f"{hub}/hub/api/", services)
        _print_welcome(terminal, hub, password, given)
        while True:
            signal.pause()


def _set_hub_variables(api_port: int, token: str) -> None:
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


def _push_example(services: DemoServices) -> None:
    files = {path.name: path.read_bytes() for path in EXAMPLE.glob("*") if path.is_file()}
    services.push(files, "Grow a sunflower")
    head = services.repository.head()
    changed = files[NOTEBOOK].replace(b"seeds = 200", b"seeds = 500")
    services.repository.commit({NOTEBOOK: changed}, message="More seeds", branch=BRANCH, parents=(str(head),))


def _start_hub(services: DemoServices, url: str, api_port: int, token: str, password: str) -> None:
    folder = services.settings.data_dir / "hub"
    folder.mkdir(mode=0o700, exist_ok=True)
    [proxy_port] = _free_ports((8001,))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTERHUB_")} | {
        "PATH": _search_path(),
        "HUB_URL": url,
        "HUB_API_PORT": str(api_port),
        "HUB_SERVICE_URL": services.address,
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
    services.children.start("hub", argv, environ, services.settings.data_dir / "hub.log")


def _search_path() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def _wait_until_up(address: str, services: DemoServices) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    session = requests.Session()
    session.trust_env = False  # a proxy is of no use for this machine itself
    with session:
        while time.monotonic() < deadline:
            with suppress(requests.RequestException):
                if session.get(address, timeout=5).ok:
                    return
            time.sleep(0.2)
    raise CommandFailed(f"the hub does not answer; its log is {services.settings.data_dir / 'hub.log'}")


def _print_welcome(terminal: Terminal, hub: str, password: str, given: str | None) -> None:
    terminal.echo("")
    terminal.echo(f"JupyterHub is at {hub}", "good")
    terminal.echo(f"  user      {USER}, or any other name")
    terminal.echo(f"  password  {password}")
    if given:
        terminal.echo(f"  build     any repository of {given}")
    else:
        terminal.echo(f"  ready     {REPOSITORY}, as soon as its build is done")
        terminal.echo(f"  build     {REPOSITORY} at {BRANCH}")
        terminal.echo(f"  or        {hub}/services/{SERVICE}/v2/gh/{REPOSITORY}/{BRANCH}")
    terminal.echo(f"  builds    {hub}/services/{SERVICE}/")
    terminal.echo("It stays up until Ctrl-C.")


def _free_ports(wanted: tuple[int, ...]) -> list[int]:
    """Return a free port for each: the usual one, else any other."""
    with ExitStack() as stack:
        return [_bind_free_port(stack, port) for port in wanted]


def _bind_free_port(stack: ExitStack, wanted: int) -> int:
    for port in (wanted, 0):
        probe = stack.enter_context(socket.socket())
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found: int = probe.getsockname()[1]
            return found
    raise CommandFailed("no port is free on 127.0.0.1")
