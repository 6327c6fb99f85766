"""Pushing an image to the registry, as a child process of its own.

docker-py's push blocks for as long as the registry does; a process can be stopped at any moment, and the engine
then ends the push. The registry's credentials are the builder's own docker configuration; repo2docker's child
process never sees them.
"""

import json
import sys
import time
from contextlib import closing
from typing import Any

import docker
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from builder import engine
from builder.errors import InfrastructureError

_TIMEOUT = 300  # seconds without a word from the engine
_SAY_EVERY = 2.0  # seconds between two lines of progress
_NO_ENGINE = "the container engine does not answer"


def command(name: str) -> list[str]:
    """Return the command that pushes `name`; its lines are read by `read_line`."""
    return [sys.executable, "-m", "builder.registry", name]


def read_line(line: str) -> tuple[str | None, str | None, str | None]:
    """Read a line of the child: (text for the log, digest, error), of which one is set."""
    try:
        said = json.loads(line)
        return said.get("text"), said.get("digest"), said.get("error")
    except (ValueError, AttributeError):
        return line, None, None


def failure(error: str) -> InfrastructureError:
    """Return the error to raise for what the child said of the registry or the engine."""
    if error.startswith(_NO_ENGINE):
        return engine.unavailable()
    lower = error.lower()
    denied = ("denied", "unauthorized", "no basic auth", "authentication required", "forbidden")
    if any(word in lower for word in denied):
        return InfrastructureError(
            "registry_denied",
            "The registry refused the image: the builder's login is missing or may not push there. "
            "An admin can mend it with docker login on the builder.",
        )
    if "no space left" in lower:
        return InfrastructureError(
            "no_space", "There is no space left in the registry or on the builder; an admin has to free some."
        )
    return InfrastructureError(
        "registry_unavailable", f"The image was built, but the registry did not take it: {error[:300]}"
    )


class Progress:
    """Adds up what the engine tells of each layer, into a line now and then."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}
        self._size: dict[str, int] = {}
        self._said_at = 0.0

    def add(self, event: dict[str, Any], now: float) -> str | None:
        """Take an event of the push; return the line to show, when one is due."""
        layer, status = str(event.get("id") or ""), str(event.get("status") or "")
        if not layer:
            return None
        if status in ("Pushed", "Layer already exists") or status.startswith("Mounted"):
            self._done[layer] = self._size.get(layer, 0)
            return f"{layer}: {status}"
        detail = event.get("progressDetail") or {}
        if status != "Pushing" or not detail.get("total"):
            return None
        self._done[layer], self._size[layer] = int(detail["current"]), int(detail["total"])
        if now - self._said_at < _SAY_EVERY:
            return None
        self._said_at = now
        return f"pushing {sum(self._done.values()) / 1e6:.1f} of {sum(self._size.values()) / 1e6:.1f} MB"


def _say(**words: str) -> None:
    print(json.dumps(words), flush=True)


def main(name: str) -> int:
    """Push `name`, saying what happens in JSON lines; 0 when the registry has it."""
    try:
        with closing(docker.from_env(timeout=_TIMEOUT)) as client:
            return _push(client, name)
    except APIError as exc:
        _say(error=str(exc))
    except (DockerException, RequestException) as exc:
        _say(error=f"{_NO_ENGINE}: {exc}")
    return 1


def _push(client: docker.DockerClient, name: str) -> int:
    repository, _, tag = name.rpartition(":")
    progress = Progress()
    for event in client.api.push(repository, tag=tag, stream=True, decode=True):
        if event.get("error"):  # docker-py does not raise for it
            _say(error=str(event["error"]))
            return 1
        if event.get("aux", {}).get("Digest"):
            _say(digest=event["aux"]["Digest"])
        line = progress.add(event, time.monotonic())
        if line is not None:
            _say(text=line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
