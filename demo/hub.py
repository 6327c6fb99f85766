"""`python -m demo hub`: a JupyterHub with the launcher on this machine, ready to log in, until Ctrl-C.

The hub runs `examples/dockerspawner/jupyterhub_config.py`, servers are containers, and web process and builder
are those of a production site. Only GitHub is a stand-in, unless REPO2HUB_GITHUB_URL is set.
"""

import os
import secrets
import shutil
import signal
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import click
import requests

from base.settings import PREFIX
from demo.example import EXAMPLES, REPOSITORY, change_notebook, read_files
from demo.interruptions import Interrupted
from demo.local_images import remove_images_with_prefix
from demo.ports import free_ports
from demo.services import DEMO_IMAGE_PREFIX, DemoServices, start_services
from repo2hub.client.service import direct_session
from repo2hub.output.errors import CommandFailed
from repo2hub.output.terminal import Terminal
from repo2hub_launcher import bridge_address

CONFIG = EXAMPLES / "dockerspawner" / "jupyterhub_config.py"
SERVICE = "binder"
USER = "ada"
BRANCH = "more-seeds"
"""A branch that is pushed without a delivery, so that it has no image yet and can be built from the spawn page."""
_START_TIMEOUT = 90.0
_PREFERRED_PORTS = (8000, 8081, 8585)


@click.command()
def hub() -> None:
    """Run a JupyterHub with the launcher, ready to log in, until Ctrl-C.

    `make hub` first provides a container engine, a base image and the hub's proxy.
    """
    terminal = Terminal()
    try:
        _run_hub(terminal)
    except Interrupted:
        terminal.note("Stopped: hub, proxy, servers, web process and builder.")
    except (OSError, RuntimeError) as exc:
        raise CommandFailed(f"The hub of the demo failed: {exc}") from exc


def _run_hub(terminal: Terminal) -> None:
    for program in ("jupyterhub", "configurable-http-proxy"):
        if shutil.which(program, path=_search_path()) is None:
            raise CommandFailed(f"{program} is not installed. Run: make hub")
    hub_port, api_port, web_port = free_ports(*_PREFERRED_PORTS)
    github_url = os.environ.get(f"{PREFIX}GITHUB_URL")
    terminal.echo("== start: web process and builder", "bold")
    remove_images_with_prefix(DEMO_IMAGE_PREFIX)
    token = secrets.token_hex(32)
    settings = {"AUTH": "jupyterhub", "PORT": str(web_port), "BASE_URL": f"/services/{SERVICE}/"}
    if github_url:
        settings["GITHUB_URL"] = github_url
    _set_hub_variables(api_port, token)
    with ExitStack() as stack:
        services = stack.enter_context(start_services(REPOSITORY, settings))
        if not github_url:
            terminal.echo(f"== push: {REPOSITORY}, as a signed delivery; its build starts", "bold")
            _push_example(services)
        terminal.echo("== start: JupyterHub and its proxy", "bold")
        address = f"http://127.0.0.1:{hub_port}"
        password = secrets.token_urlsafe(9)
        _start_hub(services, address, api_port, token, password)
        _wait_until_up(f"{address}/hub/api/", services)
        _print_welcome(terminal, address, password, github_url)
        while True:
            signal.pause()


def _set_hub_variables(api_port: int, token: str) -> None:
    """Set the variables by which a hub configures its services, for the web process."""
    os.environ |= {
        "JUPYTERHUB_API_TOKEN": token,
        "JUPYTERHUB_API_URL": f"http://{bridge_address()}:{api_port}/hub/api",
        "JUPYTERHUB_CLIENT_ID": f"service-{SERVICE}",
        "JUPYTERHUB_SERVICE_NAME": SERVICE,
        "JUPYTERHUB_SERVICE_PREFIX": f"/services/{SERVICE}/",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": f'["access:services!service={SERVICE}"]',
    }


def _push_example(services: DemoServices) -> None:
    files = read_files()
    services.push(files, "Grow a sunflower")
    head = services.repository.head()
    services.repository.commit(
        change_notebook(files), message="More seeds", branch=BRANCH, parents=(str(head),)
    )


def _start_hub(services: DemoServices, url: str, api_port: int, token: str, password: str) -> None:
    folder = services.settings.data_dir / "hub"
    folder.mkdir(mode=0o700, exist_ok=True)
    [proxy_port] = free_ports(8001)
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
        "-P",
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
    with direct_session() as session:
        while time.monotonic() < deadline:
            with suppress(requests.RequestException):
                if session.get(address, timeout=5).ok:
                    return
            time.sleep(0.2)
    raise CommandFailed(f"The hub does not answer. See its log: {services.settings.data_dir / 'hub.log'}")


def _print_welcome(terminal: Terminal, address: str, password: str, github_url: str | None) -> None:
    terminal.echo("")
    terminal.echo(f"JupyterHub is running at {address}", "good")
    terminal.echo(f"  user      {USER}, or any other name")
    terminal.echo(f"  password  {password}")
    if github_url:
        terminal.echo(f"  build     any repository of {github_url}")
    else:
        terminal.echo(f"  start     {REPOSITORY}, when its build has finished")
        terminal.echo(f"  build     {REPOSITORY} at {BRANCH}")
        terminal.echo(f"  or open   {address}/services/{SERVICE}/v2/gh/{REPOSITORY}/{BRANCH}")
    terminal.echo(f"  builds    {address}/services/{SERVICE}/")
    terminal.echo("Press Ctrl-C to stop it.")
