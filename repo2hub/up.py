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

from builder.settings import BuilderSettings
from db.settings import SettingsError
from repo2hub import listening, secret
from repo2hub.children import Children, command, stop_on_signal, wait_until_it_answers, watch
from repo2hub.terminal import Terminal
from repo2hub.upgrade import bring_up_to_date
from webhook.settings import WebSettings


@click.command()
@listening.options
def up(**options: Any) -> None:
    """Run it all on this machine: web and one builder, nothing to configure.

    Records go to SQLite and images to the local container engine, unless REPO2HUB_DATABASE_URL and
    REPO2HUB_REGISTRY_URL say otherwise. A webhook secret is made where none is set. Ends with SIGTERM or Ctrl-C;
    a build that runs then goes back to the queue.
    """
    settings = check_settings(listening.given(options))
    listening.require_free(settings)
    bring_up_to_date(settings)
    if not settings.webhook_secrets:
        secret.make(settings.data_dir)
    sys.exit(_run(settings, os.environ, Terminal()))


def check_settings(options: Mapping[str, Any]) -> WebSettings:
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
    return command("web", "--host", settings.host, "--port", str(settings.port))


def _run(settings: WebSettings, environ: Mapping[str, str], terminal: Terminal) -> int:
    """Run both until a signal or the end of either; return the exit code."""
    address = listening.address(settings)
    with Children() as children:
        stop = stop_on_signal(children)
        children.start("web", web_command(settings), environ)
        children.start("builder", command("builder"), environ)
        if wait_until_it_answers(address, children, stop):
            _welcome(terminal, settings, address)
        ended = watch(children, stop)
        if ended is None:
            terminal.note("stopping (a second Ctrl-C kills)")
    if ended is None:
        return 0
    name, status = ended
    terminal.fail(f"`repo2hub {name}` ended by itself (exit status {status}), so everything was stopped")
    return 1


def _welcome(terminal: Terminal, settings: WebSettings, address: str) -> None:
    terminal.say(f"repo2hub is up: {address}", "good")
    if not settings.webhook_secrets:
        terminal.say(f"  webhook secret  made for you, in {secret.path(settings.data_dir)}")
    terminal.say(f"  add a webhook   payload URL <your public address>{settings.base_url}webhook/github,")
    terminal.say("                  content type application/json, the secret, just the push event")
    token = "" if settings.auth == "none" else "REPO2HUB_API_TOKEN=<a token> "
    terminal.say(f"  build now       {token}repo2hub build org/repo")
    terminal.say("  is all well?    repo2hub doctor")
