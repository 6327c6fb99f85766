"""The options and arguments of the commands that use a running service, and where that service is."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click

from repo2hub.client.service import ServiceClient, local_address
from repo2hub.output.terminal import Terminal

# Both import only the standard library, so that these commands start fast.
from webhook import hub_environment
from webhook.http.errors import ResolveError
from webhook.lookup.revision import parse_repository

_TARGET_SYNTAX = "Write org/repo or org/repo@ref."


class Target(NamedTuple):
    """A repository and a ref of it."""

    repository: str
    ref: str


def service_command(command: Callable[..., int | None]) -> Callable[..., None]:
    """Add --server and --token to a command, and call it with the client, a terminal and its own parameters.

    The command returns its exit code, None for 0.
    """

    @click.option(
        "--server",
        help="Address of the service.  [env: REPO2HUB_SERVER; default: the service on this machine]",
    )
    @click.option(
        "--token",
        help="API token. Other users of this machine can see it, so prefer the variable.  "
        "[env: REPO2HUB_API_TOKEN]",
    )
    @wraps(command)
    def run(*, server: str | None, token: str | None, **parameters: Any) -> None:
        service = ServiceClient(server or _server_address(), token or _api_token())
        sys.exit(command(service, Terminal(), **parameters) or 0)

    return run


def _parse_target(_ctx: click.Context, _parameter: click.Parameter, value: str) -> Target:
    name, has_ref, ref = value.partition("@")
    github = (os.environ.get("REPO2HUB_GITHUB_URL") or "https://github.com").rstrip("/")
    try:
        repository = parse_repository(name, github)
    except ResolveError:
        raise click.BadParameter(_explain_unsupported_repository(name, github)) from None
    if has_ref and not ref:
        raise click.BadParameter(_TARGET_SYNTAX)
    return Target(repository, ref or "HEAD")


def _explain_unsupported_repository(name: str, github: str) -> str:
    """Return why a repository is not accepted. An address elsewhere is never taken for a name at GitHub."""
    _, is_address, rest = name.partition("://")
    host = rest.partition("/")[0]
    if not is_address or host == urlsplit(github).netloc:
        return _TARGET_SYNTAX
    return (
        f"{host} is not {github} (REPO2HUB_GITHUB_URL), the only server whose repositories this command accepts. "
        "For other servers use BinderHub's build API: /build/git/<URL-encoded address>/<ref>"
    )


def _server_address() -> str:
    """Return REPO2HUB_SERVER, else the address at which `repo2hub up` listens with the same variables."""
    if server := os.environ.get("REPO2HUB_SERVER"):
        if urlsplit(server).scheme not in ("http", "https"):
            raise click.UsageError("REPO2HUB_SERVER: set an address such as https://hub.example.org/")
        return server
    address: dict[str, Any] = {"host": "127.0.0.1", "port": "8585", "base_url": "/"}
    if os.environ.get("REPO2HUB_AUTH") == "jupyterhub":
        address |= hub_environment.read_settings(os.environ)
    ours = {name: os.environ.get(f"REPO2HUB_{name.upper()}") for name in address}
    return local_address(**address | {name: value for name, value in ours.items() if value})


def _api_token() -> str | None:
    tokens = os.environ.get("REPO2HUB_API_TOKEN") or os.environ.get("REPO2HUB_API_TOKENS", "")
    return tokens.split(",")[0].strip() or None


target_argument = click.argument("target", callback=_parse_target, metavar="ORG/REPO[@REF]")
build_id_argument = click.argument("build_id", type=click.IntRange(min=1), metavar="ID")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON to stdout, and all else to stderr."
)
