"""`repo2hub up`: the web process and one builder on this machine, without configuration.

Both are child processes that run `repo2hub web` and `repo2hub builder`, so this works like a larger site. They
are not restarted: if one ends, the other is stopped and `up` exits with 1, so that systemd or the user decides.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from base.settings import SettingsError
from builder.settings import BuilderSettings
from repo2hub.output.terminal import Terminal
from repo2hub.startup import listen_address, webhook_secret_file
from repo2hub.startup.child_processes import (
    ChildProcesses,
    repo2hub_command,
    stop_on_signal,
    wait_for_stop_or_exit,
    wait_until_healthy,
)
from repo2hub.startup.database_schema import migrate_database
from webhook.serving.sockets import inherited_descriptors
from webhook.settings import WebSettings


@click.command()
@listen_address.listen_options
def up(**options: Any) -> None:
    """Run the web process and one builder on this machine.

    No configuration is needed. Records are in SQLite and images in the local container engine, unless
    REPO2HUB_DATABASE_URL and REPO2HUB_REGISTRY_URL are set. If no webhook secret is set, one is generated. SIGTERM
    or Ctrl-C stops both processes; a running build goes back to the queue.
    """
    settings = load_all_settings(listen_address.drop_unset(options))
    if not inherited_descriptors(os.environ):
        listen_address.require_free_port(settings)
    migrate_database(settings)
    if not settings.webhook_secrets:
        webhook_secret_file.ensure_secret(settings.data_dir)
    sys.exit(_run(settings, os.environ, Terminal()))


def load_all_settings(options: Mapping[str, Any]) -> WebSettings:
    """Return the settings of the web process. Raises SettingsError for all invalid variables of both roles."""
    errors: list[str] = []
    try:
        BuilderSettings.load()
    except SettingsError as exc:
        errors += str(exc).splitlines()
    try:
        settings = WebSettings.load(**options)
    except SettingsError as exc:
        errors += str(exc).splitlines()
    else:
        if settings.role != "all":
            errors.append(
                "REPO2HUB_ROLE: `repo2hub up` runs one web process for all roles. Unset it, or run `repo2hub web`."
            )
    if errors:
        raise SettingsError("\n".join(dict.fromkeys(errors)))
    return settings


def web_command(settings: WebSettings) -> list[str]:
    """Return the command line of the web process."""
    return repo2hub_command("web", "--host", settings.host, "--port", str(settings.port))


def _run(settings: WebSettings, environ: Mapping[str, str], terminal: Terminal) -> int:
    """Run both processes until a signal arrives or one of them ends; return the exit code."""
    address = listen_address.service_address(settings)
    with ChildProcesses() as children:
        stop = stop_on_signal(children)
        children.start("web", web_command(settings), environ, sockets=inherited_descriptors(environ))
        children.start("builder", repo2hub_command("builder"), environ)
        if wait_until_healthy(address, children, stop):
            _print_welcome(terminal, settings, address)
        ended = wait_for_stop_or_exit(children, stop)
        if ended is None:
            terminal.note("Stopping. Press Ctrl-C again to kill the processes.")
    if ended is None:
        return 0
    name, status = ended
    terminal.error(
        f"`repo2hub {name}` ended unexpectedly with exit status {status}. All processes were stopped."
    )
    return 1


def _print_welcome(terminal: Terminal, settings: WebSettings, address: str) -> None:
    terminal.echo(f"repo2hub is running at {address}", "good")
    if not settings.webhook_secrets:
        terminal.echo(f"  webhook secret  in {webhook_secret_file.secret_path(settings.data_dir)}")
    terminal.echo(f"  add a webhook   payload URL <your public address>{settings.base_url}webhook/github,")
    terminal.echo("                  content type application/json, the secret, just the push event")
    token = "" if settings.auth == "none" else "REPO2HUB_API_TOKEN=<a token> "
    terminal.echo(f"  build an image  {token}repo2hub build org/repo")
    terminal.echo("  check setup     repo2hub doctor")
