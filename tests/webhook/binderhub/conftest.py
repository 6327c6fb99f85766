"""Requests to BinderHub's build API that are read as they arrive, each in a thread of its own."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from db.database import Database
from db.models import Build
from demo.github.git_server import GitServer
from tests.webhook.records import Clock
from webhook.app import STREAMS, create_app
from webhook.settings import WebSettings

LIMIT = 20.0
EVENTS = {"Accept": "text/event-stream"}
Event = dict[str, Any]


@pytest.fixture
def settings(settings: WebSettings, github: GitServer) -> WebSettings:
    elsewhere = github.url.replace("127.0.0.1", "localhost")
    changes = {"banned_repositories": ("bad/*",), "git_hosts": ("gitlab.com", elsewhere)}
    return settings.model_copy(update=changes | {"github_url": github.url})


@pytest.fixture
def app(settings: WebSettings, database: Database, clock: Clock) -> Iterator[Flask]:
    app = create_app(settings, database, clock=clock)
    app.extensions[STREAMS].poll = 0.01
    yield app
    app.extensions[STREAMS].close()


@dataclass
class Request:
    """One request to the build API, read in a thread of its own as it arrives."""

    client: FlaskClient
    path: str
    headers: dict[str, str]
    sent: bytes = b""
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self.client.get(self.path, headers=self.headers, buffered=False) as response:
            assert response.status_code == 200
            assert response.content_type == "text/event-stream"
            for piece in response.response:
                self.sent += piece if isinstance(piece, bytes) else piece.encode()

    @property
    def so_far(self) -> list[Event]:
        return [json.loads(line[5:]) for line in self.sent.decode().split("\n") if line.startswith("data:")]

    def until(self, words: str) -> Event:
        """Wait for an event with these words, and return it."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            for event in self.so_far:
                if words in event["message"]:
                    return event
            time.sleep(0.005)
        raise AssertionError(f"no {words!r} in {self.sent!r}")

    def ended(self) -> list[Event]:
        """Wait for the end, and return the events: every one with a phase and a message, one of them the last."""
        self._thread.join(LIMIT)
        assert not self._thread.is_alive(), self.sent
        events = self.so_far
        assert all(event["message"] and event["phase"] for event in events)
        final = [event for event in events if event["phase"] in ("ready", "failed")]
        assert final == events[-1:]
        return events


Ask = Callable[..., Request]


@pytest.fixture
def ask(app: Flask) -> Ask:
    def get(spec: str, *, query: str = "?build_only=true", **headers: str) -> Request:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Request(app.test_client(), f"/build/{spec}{query}", EVENTS | named)

    return get


@pytest.fixture
def restarted(settings: WebSettings, database: Database, clock: Clock) -> Iterator[Ask]:
    """Ask a service on the same records that remembers nothing of what GitHub said."""
    app = create_app(settings, database, clock=clock)
    yield lambda spec: Request(app.test_client(), f"/build/{spec}?build_only=true", EVENTS)
    app.extensions[STREAMS].close()


def build_count(database: Database) -> int:
    """Return how many builds there are."""
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Build)) or 0
