"""Filters of the templates: a build's state, duration, size and ref as text. Pure."""

from datetime import datetime, timedelta
from typing import NamedTuple

from db.models import Build
from db.status import Phase, Reason, Status, Trigger
from webhook.access.permissions import API_USER_NAME

_PHASES = {Phase.FETCHING: "Fetching", Phase.BUILDING: "Building", Phase.PUSHING: "Pushing"}
_CANCELLED = {
    Reason.SUPERSEDED: "Superseded",
    Reason.REQUESTED: "Cancelled",
    Reason.REF_DELETED: "Ref deleted",
    Reason.REPOSITORY_GONE: "Repository deleted",
}
_SENTENCES = {
    Status.QUEUED: "Waiting for a builder.",
    Status.RUNNING: "Building the image.",
    Status.SUCCEEDED: "The image is ready to launch.",
    Status.FAILED: "No image was built for this commit.",
}
_TRIGGERS = {Trigger.PUSH: "push", Trigger.LAUNCH: "launcher", Trigger.MANUAL: "request"}
_NAMES = {
    "environment_yml": "environment.yml",
    "runtime_txt": "runtime.txt",
    "postbuild": "postBuild",
    "github": "GitHub",
    "tls": "TLS",
}
"""Names within causes, and how they are written."""
_DAY = 86_400


class State(NamedTuple):
    """A state as shown: `kind` selects icon and colour, `word` is the text."""

    kind: str
    word: str


def state(build: Build) -> State:
    """Return the state of a build in one or two words."""
    match build.status:
        case Status.QUEUED:
            return State("queued", "Retrying" if build.attempt else "Queued")
        case Status.RUNNING if build.cancel_requested_at is not None:
            return State("running", "Cancelling")
        case Status.RUNNING:
            return State("running", _PHASES[build.phase] if build.phase else "Starting")
        case Status.SUCCEEDED:
            return State("ready", "Ready")
        case Status.FAILED:
            return State("failed", "Failed")
    return State("cancelled", _CANCELLED.get(build.reason, "Cancelled") if build.reason else "Cancelled")


def describe_status(build: Build) -> str:
    """Return the state of a build as a sentence."""
    if build.status is Status.CANCELLED:
        if build.reason is Reason.REQUESTED:
            if build.cancelled_by is None:
                return "Cancelled."
            who = "a client with an API token" if build.cancelled_by == API_USER_NAME else build.cancelled_by
            return f"Cancelled by {who}."
        return build.message or "Cancelled."
    if build.status is Status.QUEUED and build.attempt:
        return f"Attempt {build.attempt} failed; retrying automatically."
    if build.status is Status.RUNNING and build.cancel_requested_at is not None:
        return "Cancelling: the builder stops the build."
    return _SENTENCES[build.status]


def describe_trigger(build: Build) -> str:
    """Return who or what requested a build first."""
    source = _TRIGGERS[build.trigger]
    if build.requested_by:
        return f"{build.requested_by} ({source})"
    return f"by {source}"


def cause_heading(name: str) -> str:
    """Return a cause, as builders write it, as a heading: `Package not found`."""
    for written, meant in _NAMES.items():
        name = name.replace(written, meant)
    name = name.replace("_", " ")
    return name if name.startswith(tuple(_NAMES.values())) else name.capitalize()


def format_duration(span: timedelta | float | None) -> str:
    """Return a duration as `48 s`, `2 min 13 s`, `1 h 5 min` or `3 d 4 h`; a dash for None."""
    if span is None:
        return "–"  # noqa: RUF001 -- a dash on purpose
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    if whole < _DAY:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // _DAY} d {whole % _DAY // 3600} h"


def ago(at: datetime, now: datetime) -> str:
    """Return a time in the past as `just now`, `5 min ago`, `3 h ago` or `12 d ago`."""
    seconds = (now - at).total_seconds()
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    return f"{seconds // 3600:.0f} h ago" if seconds < _DAY else f"{seconds // _DAY:.0f} d ago"


def format_utc(at: datetime) -> str:
    """Return a time in UTC, for readers whose time zone is unknown."""
    return f"{at:%d %b %Y, %H:%M} UTC"


def format_size(count: int | None) -> str:
    """Return bytes as `1.4 GB`, in powers of ten as container engines do; a dash for None."""
    if count is None:
        return "–"  # noqa: RUF001
    number, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while number >= 999.5 and len(units) > 1:
        number, units = number / 1000, units[1:]
    return f"{number:.0f} {units[0]}" if number >= 99.5 or units[0] == "B" else f"{number:.1f} {units[0]}"


def short_ref(ref: str) -> str:
    """Return a ref as people write it: main, v1.0, pull/7/head; empty for a bare commit."""
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/").removeprefix("refs/")
