"""Where the web process listens: the options of `web` and `up`, and the address that follows."""

import errno
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import click

from repo2hub.client import service
from repo2hub.output.errors import CommandFailed
from webhook.settings import WebSettings

F = TypeVar("F", bound=Callable[..., Any])


def listen_options(command: F) -> F:
    """Give a command --host and --port, which win over the environment."""
    port = click.option("--port", type=int, help="Port to listen on.  [REPO2HUB_PORT, else 8585]")
    host = click.option("--host", help="Address to listen on.  [REPO2HUB_HOST, else 127.0.0.1]")
    return host(port(command))


def drop_unset(values: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in values.items() if value is not None}


def require_free_port(settings: WebSettings) -> None:
    """Raise CommandFailed where something listens there already, which would answer in our place."""
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, settings.port))
        except OSError as exc:
            what = f"{settings.port} is taken" if exc.errno == errno.EADDRINUSE else exc.strerror
            raise CommandFailed(f"REPO2HUB_PORT: {what} on {host}; choose another with --port") from exc


def service_address(settings: WebSettings) -> str:
    """Return the address at which this machine reaches the web process, base path included."""
    return service.local_address(settings.host, settings.port, settings.base_url)
