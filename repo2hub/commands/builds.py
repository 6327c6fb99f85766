"""The commands that ask a running service: build, lookup, builds, log, cancel."""

import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click

from repo2hub.cli import NOT_FOUND
from repo2hub.client.service import JSON, ServiceClient, local_address
from repo2hub.output.terminal import Terminal, Tone

# Pure, and the standard library alone: a question should not wait for more.
from webhook import hub_environment
from webhook.lookup.revision import ResolveError, parse_repository

_STATUS_TONES: dict[str, Tone] = {
    "succeeded": "good",
    "failed": "bad",
    "cancelled": "dim",
    "running": "warn",
    "queued": "plain",
}


class Target(NamedTuple):
    """A repository and the ref that is meant."""

    repository: str
    ref: str


def _parse_target(_ctx: click.Context, _parameter: click.Parameter, value: str) -> Target:
    name, has_ref, ref = value.partition("@")
    github = (os.environ.get("REPO2HUB_GITHUB_URL") or "https://github.com").rstrip("/")
    try:
        repository = parse_repository(name, github)
    except ResolveError:
        raise click.BadParameter(_explain_unsupported_repository(name, github)) from None
    if has_ref and not ref:
        raise click.BadParameter("write org/repo or org/repo@ref")
    return Target(repository, ref or "HEAD")


def _explain_unsupported_repository(name: str, github: str) -> str:
    _, is_address, rest = name.partition("://")
    host = rest.partition("/")[0]
    if not is_address or host == urlsplit(github).netloc:
        return "write org/repo or org/repo@ref"
    # Never that name at GitHub, which is somebody else's.
    return (
        f"{host} is not {github} (REPO2HUB_GITHUB_URL), whose repositories alone can be asked for here. Those of "
        "other servers are built by BinderHub's build API: /build/git/<URL-encoded address>/<ref>"
    )


def _service_command(command: Callable[..., int | None]) -> Callable[..., None]:
    """Give a command --server and --token, and call it with the service, a terminal and its own parameters."""

    @click.option("--server", help="The service's address.  [REPO2HUB_SERVER, else the one on this machine]")
    @click.option("--token", help="[REPO2HUB_API_TOKEN, which other users of this machine cannot see]")
    @wraps(command)
    def run(*, server: str | None, token: str | None, **parameters: Any) -> None:
        service = ServiceClient(server or _server_address(), token or _api_token())
        sys.exit(command(service, Terminal(), **parameters) or 0)

    return run


def _server_address() -> str:
    """Return the configured service; else the one that `repo2hub up` starts here with the same variables."""
    if server := os.environ.get("REPO2HUB_SERVER"):
        if urlsplit(server).scheme not in ("http", "https"):
            raise click.UsageError("REPO2HUB_SERVER: write an address such as https://hub.example.org/")
        return server
    here: dict[str, Any] = {"host": "127.0.0.1", "port": "8585", "base_url": "/"}
    if os.environ.get("REPO2HUB_AUTH") == "jupyterhub":
        here |= hub_environment.read_settings(os.environ)
    ours = {name: os.environ.get(f"REPO2HUB_{name.upper()}") for name in here}
    return local_address(**here | {name: value for name, value in ours.items() if value})


def _api_token() -> str | None:
    given = os.environ.get("REPO2HUB_API_TOKEN") or os.environ.get("REPO2HUB_API_TOKENS", "")
    return given.split(",")[0].strip() or None


_target = click.argument("target", callback=_parse_target, metavar="ORG/REPO[@REF]")
_build_id = click.argument("build_id", type=click.IntRange(min=1), metavar="ID")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, and all else on stderr.")


@click.command()
@_target
@click.option("--force", is_flag=True, help="Build although the image exists.")
@click.option("--no-follow", is_flag=True, help="Ask, and do not wait for the end.")
@_json
@_service_command
def build(
    service: ServiceClient, terminal: Terminal, *, target: Target, force: bool, no_follow: bool, as_json: bool
) -> int:
    """Ask for the image of a repository and follow its log.

    REF is a branch, a tag or a commit; without it the default branch is meant. Exits with 0 only when the image
    is there (with --no-follow: when the build is asked for).
    """
    answer = service.request_build(*target, force=force)
    asked = answer.get("build")
    if asked is None:
        image = answer.get("image", answer)
        terminal.note("The image is there already; --force builds it again.")
        terminal.json(answer) if as_json else terminal.echo(_image_name(image), "good")
        return 0
    _note_build(terminal, answer, asked)
    if no_follow:
        terminal.json(answer) if as_json else terminal.echo(asked["id"])
        return 0
    return _follow(service, terminal, int(asked["id"]), as_json=as_json)


def _note_build(terminal: Terminal, answer: JSON, asked: JSON) -> None:
    joined = ", which was asked for already" if answer.get("outcome") == "joined" else ""
    terminal.note(f"build {asked['id']} of {asked['repository']} at {asked['commit'][:12]}{joined}")


def _follow(service: ServiceClient, terminal: Terminal, build_id: int, *, as_json: bool) -> int:
    try:
        print_log(service, terminal, build_id, to_stderr=as_json)
    except KeyboardInterrupt:
        terminal.note(
            f"\nThe build goes on. Stop it: repo2hub cancel {build_id}. See it: repo2hub log {build_id}"
        )
        return 130
    ended = service.build(build_id)
    if as_json:
        terminal.json(ended)
    if ended["status"] == "succeeded":
        if not as_json:
            terminal.echo(_image_name(ended.get("image")), "good")
        return 0
    terminal.error(f"build {build_id} {ended['status']}: {ended.get('message') or ended.get('reason')}")
    return 1


def print_log(service: ServiceClient, terminal: Terminal, build_id: int, *, to_stderr: bool = False) -> None:
    said = ""
    for event in service.follow(build_id):
        if event.name == "log":
            terminal.log(str(event.data.get("text", "")), to_stderr=to_stderr)
        elif event.name == "attempt":
            terminal.note(f"attempt {event.data.get('attempt')}", "warn")
        elif event.name == "status" and said != (doing := _describe_progress(event.data)):
            terminal.note(doing)
            said = doing


def _describe_progress(build: JSON) -> str:
    """Return what goes on with a build, in a few words."""
    if build.get("status") == "queued":
        return f"waiting, number {build.get('queue_position') or 1} in the queue"
    if build.get("status") == "running":
        return str(build.get("phase") or "starting")
    return str(build.get("status"))


def _image_name(image: Any) -> str:
    return str(image.get("image") if isinstance(image, dict) else image)


@click.command()
@_target
@_json
@_service_command
def lookup(service: ServiceClient, terminal: Terminal, *, target: Target, as_json: bool) -> int:
    """Print the name of a repository's image.

    Stdout has the name alone. Exits with 3 where there is no image of that commit (yet); stderr then tells why,
    and names an older image that may do.
    """
    found = service.lookup(*target)
    if as_json:
        terminal.json(found)
    elif "state" not in found:
        terminal.echo(found["image"])
    if "state" not in found:
        return 0
    if not as_json:
        terminal.note(f"{found['state']}: {found.get('message') or 'no image'}", "warn")
        if fallback := found.get("fallback"):
            terminal.note(f"an older image, of {fallback['commit'][:12]}: {fallback['image']}")
    return NOT_FOUND


@click.command()
@click.option("--repository", metavar="ORG/REPO", help="Of this repository alone.")
@click.option("--ref", help="Of this branch or tag alone; needs --repository.")
@click.option("--status", type=click.Choice(list(_STATUS_TONES)), help="In this state alone.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@_json
@_service_command
def builds(
    service: ServiceClient,
    terminal: Terminal,
    *,
    repository: str | None,
    ref: str | None,
    status: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List builds, newest first."""
    found = service.builds(repository=repository, ref=ref, status=status, limit=limit)
    if as_json:
        terminal.json(found)
        return
    now = datetime.now(UTC)
    heads = ("ID", "REPOSITORY", "REF", "COMMIT", "STATUS", "ASKED", "TOOK", "")
    terminal.table(heads, [_build_row(build, now) for build in found])


def _build_row(build: JSON, now: datetime) -> list[tuple[object, Tone]]:
    status = build["status"]
    doing = build.get("phase") if status == "running" else build.get("reason")
    shown = f"{status} ({str(doing).replace('_', ' ')})" if doing else status
    asked = now - datetime.fromisoformat(build["created_at"])
    took = build["durations"]["total"] if build["started_at"] else None
    return [
        (build["id"], "bold"),
        (build["repository"], "plain"),
        (re.sub(r"^refs/(heads|tags)/", "", build["ref"]) or "-", "plain"),
        (build["commit"][:7], "dim"),
        (shown, _STATUS_TONES.get(status, "plain")),
        (f"{_format_duration(asked.total_seconds())} ago", "dim"),
        (_format_duration(took) if took is not None else "-", "plain"),
        (build.get("message") or build.get("commit_title") or "", "dim"),
    ]


def _format_duration(seconds: float) -> str:
    """Return a length of time in its largest unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


@click.command()
@_build_id
@_service_command
def log(service: ServiceClient, terminal: Terminal, *, build_id: int) -> None:
    """Print the log of a build, and follow it if it runs."""
    print_log(service, terminal, build_id)


@click.command()
@_build_id
@_json
@_service_command
def cancel(service: ServiceClient, terminal: Terminal, *, build_id: int, as_json: bool) -> None:
    """Cancel a build.

    A queued one is cancelled at once, a running one is stopped by its builder within seconds. Exits with 1 where
    it had ended already.
    """
    answer = service.cancel(build_id)
    if as_json:
        terminal.json(answer)
