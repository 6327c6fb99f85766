"""Printing the log of a build while it runs."""

from repo2hub.client.event_stream import JSON
from repo2hub.client.service import ServiceClient
from repo2hub.output.terminal import Terminal


def print_log(service: ServiceClient, terminal: Terminal, build_id: int, *, to_stderr: bool = False) -> None:
    """Print a build's log from its start until the build has ended; its progress goes to stderr."""
    last_progress = ""
    for event in service.follow(build_id):
        if event.name == "log":
            terminal.log(str(event.data.get("text", "")), to_stderr=to_stderr)
        elif event.name == "attempt":
            terminal.note(f"attempt {event.data.get('attempt')}", "warn")
        elif event.name == "status" and last_progress != (progress := _describe_progress(event.data)):
            terminal.note(progress)
            last_progress = progress


def _describe_progress(build: JSON) -> str:
    if build.get("status") == "queued":
        return f"queued, position {build.get('queue_position') or 1} in the queue"
    if build.get("status") == "running":
        return str(build.get("phase") or "starting")
    return str(build.get("status"))
