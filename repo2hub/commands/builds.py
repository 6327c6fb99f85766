"""The commands that request, list, follow and cancel builds of a running service."""

import re
from datetime import UTC, datetime
from typing import Any

import click

from repo2hub.client.event_stream import JSON
from repo2hub.client.follow import print_log
from repo2hub.client.options import Target, build_id_argument, json_option, service_command, target_argument
from repo2hub.client.service import ServiceClient
from repo2hub.exit_codes import ExitCode
from repo2hub.output.terminal import Terminal, Tone

_STATUS_TONES: dict[str, Tone] = {
    "succeeded": "good",
    "failed": "bad",
    "cancelled": "dim",
    "running": "warn",
    "queued": "plain",
}


@click.command()
@target_argument
@click.option("--force", is_flag=True, help="Build even if the image exists.")
@click.option("--no-follow", is_flag=True, help="Request the build and exit without waiting for it.")
@json_option
@service_command
def build(
    service: ServiceClient, terminal: Terminal, *, target: Target, force: bool, no_follow: bool, as_json: bool
) -> int:
    """Request the image of a repository and follow the build log.

    REF is a branch, tag or commit; without it, the default branch is used. The exit code is 0 only if the image
    exists; with --no-follow, if the build was requested.
    """
    answer = service.request_build(*target, force=force)
    requested = answer.get("build")
    if requested is None:
        image = answer.get("image", answer)
        terminal.note("The image already exists. Use --force to build it again.")
        terminal.json(answer) if as_json else terminal.echo(_image_name(image), "good")
        return ExitCode.SUCCESS
    _note_build(terminal, answer, requested)
    if no_follow:
        terminal.json(answer) if as_json else terminal.echo(requested["id"])
        return ExitCode.SUCCESS
    return _follow(service, terminal, int(requested["id"]), as_json=as_json)


def _note_build(terminal: Terminal, answer: JSON, build: JSON) -> None:
    joined = " (already requested)" if answer.get("outcome") == "joined" else ""
    terminal.note(f"build {build['id']} of {build['repository']} at {build['commit'][:12]}{joined}")


def _follow(service: ServiceClient, terminal: Terminal, build_id: int, *, as_json: bool) -> int:
    try:
        print_log(service, terminal, build_id, to_stderr=as_json)
    except KeyboardInterrupt:
        terminal.note(
            f"\nThe build continues. To cancel it: repo2hub cancel {build_id}. "
            f"To follow it again: repo2hub log {build_id}"
        )
        return ExitCode.INTERRUPTED
    ended = service.build(build_id)
    if as_json:
        terminal.json(ended)
    if ended["status"] == "succeeded":
        if not as_json:
            terminal.echo(_image_name(ended.get("image")), "good")
        return ExitCode.SUCCESS
    terminal.error(f"build {build_id} {ended['status']}: {ended.get('message') or ended.get('reason')}")
    return ExitCode.FAILED


def _image_name(image: Any) -> str:
    return str(image.get("image") if isinstance(image, dict) else image)


@click.command()
@click.option("--repository", metavar="ORG/REPO", help="Only builds of this repository.")
@click.option("--ref", help="Only builds of this branch or tag; requires --repository.")
@click.option("--status", type=click.Choice(list(_STATUS_TONES)), help="Only builds with this status.")
@click.option(
    "--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="Maximum number of builds."
)
@json_option
@service_command
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
    headings = ("ID", "REPOSITORY", "REF", "COMMIT", "STATUS", "CREATED", "DURATION", "")
    terminal.table(headings, [_build_row(build, now) for build in found])


def _build_row(build: JSON, now: datetime) -> list[tuple[object, Tone]]:
    status = build["status"]
    detail = build.get("phase") if status == "running" else build.get("reason")
    age = now - datetime.fromisoformat(build["created_at"])
    duration = build["durations"]["total"] if build["started_at"] else None
    return [
        (build["id"], "bold"),
        (build["repository"], "plain"),
        (re.sub(r"^refs/(heads|tags)/", "", build["ref"]) or "-", "plain"),
        (build["commit"][:7], "dim"),
        (
            f"{status} ({str(detail).replace('_', ' ')})" if detail else status,
            _STATUS_TONES.get(status, "plain"),
        ),
        (f"{_format_duration(age.total_seconds())} ago", "dim"),
        (_format_duration(duration) if duration is not None else "-", "plain"),
        (build.get("message") or build.get("commit_title") or "", "dim"),
    ]


def _format_duration(seconds: float) -> str:
    """Return a duration in its largest unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


@click.command()
@build_id_argument
@service_command
def log(service: ServiceClient, terminal: Terminal, *, build_id: int) -> None:
    """Print the log of a build, and follow it while the build runs."""
    print_log(service, terminal, build_id)


@click.command()
@build_id_argument
@json_option
@service_command
def cancel(service: ServiceClient, terminal: Terminal, *, build_id: int, as_json: bool) -> None:
    """Cancel a build.

    A queued build is cancelled at once. A running build is stopped by its builder within seconds. If the build had
    already ended, the exit code is 1.
    """
    answer = service.cancel(build_id)
    if as_json:
        terminal.json(answer)
