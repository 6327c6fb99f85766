"""BinderHub's npm client, run by node."""

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

CLIENT = Path(__file__).parent / "binder_client.mjs"
PACKAGES = ROOT / "machine" / "npm" / "node_modules"
VERSIONS = ("0.5", "0.4")
LIMIT = 240.0
"""Seconds after which a client is killed; a real build may take long."""

Event = dict[str, Any]


class Client:
    """One run of the npm client, whose events are read as it prints them."""

    def __init__(self, url: str, version: str, spec: str, *options: str) -> None:
        if not PACKAGES.exists():
            pytest.fail("the npm packages are missing: run machine/node-packages", pytrace=False)
        argv = ["node", "--experimental-detect-module", CLIENT, PACKAGES, version]
        self._process = subprocess.Popen(
            [*map(str, argv), f"{url}/build/", spec, *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.events: list[Event] = []
        self._late = threading.Timer(LIMIT, self._process.kill)
        self._late.daemon = True
        self._late.start()

    def until(self, words: str) -> Event:
        """Read up to the event with these words, and return it."""
        for event in self:
            if words in event["message"]:
                return event
        raise AssertionError(f"no {words!r} in {self.events}")

    def ended(self) -> list[Event]:
        """Read to the end, and return all events."""
        for _ in self:
            pass
        self.kill()
        assert self.events, "the client said nothing; why is in its output"
        return self.events

    def __iter__(self) -> Iterator[Event]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.events.append(json.loads(line))
            yield self.events[-1]

    def kill(self) -> None:
        """Kill it, so that the connection ends as with a browser that crashes."""
        self._late.cancel()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
