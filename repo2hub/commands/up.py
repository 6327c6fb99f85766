"""`repo2hub up`: the web process and one builder on this machine, with nothing to configure.

Both are children that run the very commands `repo2hub web` and `repo2hub builder`, so nothing here works
differently from a larger site. None is started again: where one ends, the other is stopped and the exit code
says so, and whoever started `up` (systemd, a terminal) decides.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from base.settings import SettingsError
from builder.settings import BuilderSettings
from repo2hub.commands.db import migrate_database
from repo2hub.output.terminal import Terminal
from repo2hub.startup import listen_address, webhook_secret_file
from repo2hub.startup.child_processes import (
    ChildProcesses,
    repo2hub_command,
    stop_on_signal,
    wait_for_stop_or_exit,
    wait_until_healthy,
)
from webhook.settings import WebSettings


@click.command()
@listen_address.listen_options
def up(**options: Any) -> None:
    """Run it all on this machine: web and one builder, nothing to configure.

    Records go to SQLite and images to the local container engine, unless REPO2HUB_DATABASE_URL and
    REPO2HUB_REGISTRY_URL say otherwise. A webhook secret is made where none is set. Ends with SIGTERM or Ctrl-C;
    a build that runs then goes back to the queue.
    """
    settings = load_all_settings(listen_address.drop_unset(options))
    listen_address.require_free_port(settings)
    migrate_database(settings)
    if not settings.webhook_secrets:
        webhook_secret_file.ensure_secret(settings.data_dir)
    sys.exit(_run(settings, os.environ, Terminal()))


def load_all_settings(options: Mapping[str, Any]) -> WebSettings:
    """Return the web role's settings; SettingsError names every wrong variable of both roles at once."""
    wrong: list[str] = []
    try:
        BuilderSettings.load()
    except SettingsError as exc:
        wrong += str(exc).splitlines()
    try:
        settings = WebSettings.load(**options)
    except SettingsError as exc:
        wrong += str(exc).splitlines()
    else:
        if settings.role != "all":
            wrong.append(
                "REPO2HUB_ROLE: `repo2hub up` serves everything in one process; unset it, or run `repo2hub web`"
            )
    if wrong:
        raise SettingsError("\n".join(dict.fromkeys(wrong)))
    return settings


def web_command(settings: WebSettings) -> list[str]:
    """Return the command line of the web process, options included."""
    return repo2hub_command("web", "--host", settings.host, "--port", str(settings.port))


def _run(settings: WebSettings, environ: Mapping[str, str], terminal: Terminal) -> int:
    """Run both until a signal or the end of either; return the exit code."""
    address = listen_address.service_address(settings)
    with ChildProcesses() as children:
        stop = stop_on_signal(children)
        children.start("web", web_command(settings), environ)
        children.start("builder", repo2hub_command("builder"), environ)
        if wait_until_healthy(address, children, stop):
            _print_welcome(terminal, settings, address)
        ended = wait_for_stop_or_exit(children, stop)
        if ended is None:
            terminal.note("stopping (a second Ctrl-C kills)")
    if ended is None:
        return 0
    name, status = ended
    terminal.error(f"`repo2hub {name}` ended by itself (exit status {status}), so everything was stopped")
    return 1


def _print_welcome(terminal: Terminal, settings: WebSettings, address: str) -> None:
    terminal.echo(f"repo2hub is up: {address}", "good")
    if not settings.webhook_secrets:
        terminal.echo(
            f"  webhook secret  made for you, in {webhook_secret_file.secret_path(settings.data_dir)}"
        )
    terminal.echo(f"  add a webhook   payload URL <your public address>{settings.base_url}webhook/github,")
    terminal.echo("                  content type application/json, the secret, just the push event")
    token = "" if settings.auth == "none" else "REPO2HUB_API_TOKEN=<a token> "
    terminal.echo(f"  build now       {token}repo2hub build org/repo")
    terminal.echo("  is all well?    repo2hub doctor")
