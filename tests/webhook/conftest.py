"""What the web tests share: an application on a fresh SQLite database, and deliveries that are really signed."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import TestResponse

from db.database import Database
from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.conftest import ROOT
from tests.webhook.records import Clock, Records
from webhook.github import receiver
from webhook.github.signature import sign
from webhook.settings import WebSettings

SECRET = "It's a Secret to Everybody"
OLD_SECRET = "the one before"
NODE_MODULES = ROOT / "machine" / "npm" / "node_modules" / "@octokit"


@dataclass(frozen=True)
class Deliver:
    """Sends deliveries as GitHub does; everything that a test is about is given by name."""

    client: FlaskClient

    def __call__(
        self,
        event: str,
        payload: object,
        *,
        guid: str | None = None,
        secret: str = SECRET,
        form: bool = False,
        **headers: str,
    ) -> TestResponse:
        body = json.dumps(payload)
        body = urlencode({"payload": body}) if form else body
        content_type = "application/x-www-form-urlencoded" if form else "application/json"
        headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": guid or str(uuid4())} | headers
        return self.raw(body.encode(), secret=secret, content_type=content_type, **headers)

    def raw(self, body: bytes, *, secret: str = SECRET, **headers: str) -> TestResponse:
        """Sign any bytes and send them; a header's underscore stands for its hyphen, an empty one is left out."""
        named = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": str(uuid4()),
            "X-Hub-Signature-256": sign(body, secret.encode()),
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        named["Content-Type"] = named.pop("content-type", named["Content-Type"])
        sent = {name: value for name, value in named.items() if value}
        return self.client.post(receiver.ENDPOINT, data=body, headers=sent)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """A fresh, migrated SQLite database: the records themselves are tested on both kinds elsewhere."""
    return sqlite_url


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> WebSettings:
    secrets = (SecretStr(OLD_SECRET), SecretStr(SECRET))
    return WebSettings(data_dir=tmp_path, database_url=database_url, webhook_secrets=secrets)


@pytest.fixture
def app(settings: WebSettings, database: Database) -> Flask:
    app = Flask("tests")
    receiver.register(app, settings, database)
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def deliver(client: FlaskClient) -> Deliver:
    return Deliver(client)


@pytest.fixture
def deliver_with(settings: WebSettings, database: Database) -> Callable[..., Deliver]:
    """Deliver to a service on the same database that is set up differently."""

    def build(**changes: Any) -> Deliver:
        app = Flask("tests")
        receiver.register(app, settings.model_copy(update=changes), database)
        return Deliver(app.test_client())

    return build


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def remote_repository(github: GitServer) -> BareRepository:
    """A repository with one commit, which nobody told us of."""
    repository = github.create("Org/Repo")
    repository.commit({"README.md": "hello"})
    return repository


@pytest.fixture
def records(database: Database, settings: WebSettings, clock: Clock) -> Records:
    return Records(database, settings, clock)
