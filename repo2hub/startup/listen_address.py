"""Where the web process listens: the options of `web` and `up`, and the address for clients on this machine."""

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
    """Add --host and --port to a command; they take precedence over the environment."""
    port = click.option("--port", type=int, help="Port to listen on.  [env: REPO2HUB_PORT; default: 8585]")
    host = click.option("--host", help="Address to listen on.  [env: REPO2HUB_HOST; default: 127.0.0.1]")
    return host(port(command))


def drop_unset(values: dict[str, Any]) -> dict[str, Any]:
    """Return the options that are set."""
    return {name: value for name, value in values.items() if value is not None}


def require_free_port(settings: WebSettings) -> None:
    """Raise CommandFailed if the port cannot be used; another process on it would answer instead of ours."""
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, settings.port))
        except OSError as exc:
            reason = "it is already in use" if exc.errno == errno.EADDRINUSE else exc.strerror
            raise CommandFailed(
                f"REPO2HUB_PORT: cannot listen on {host}:{settings.port}: {reason}. Choose another with --port."
            ) from exc


def service_address(settings: WebSettings) -> str:
    """Return the address of the web process for clients on this machine, base path included."""
    return service.local_address(settings.host, settings.port, settings.base_url)
