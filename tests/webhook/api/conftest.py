"""The API of one application, with git's own server for GitHub, and how its answers are read."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from db.database import Database
from demo.github.git_server import GitServer
from tests.webhook.described_client import DescribedClient
from tests.webhook.records import Clock
from webhook.app import create_app
from webhook.settings import WebSettings

OTHER = "f" * 40


@pytest.fixture
def settings(settings: WebSettings, github: GitServer) -> WebSettings:
    changes = {"github_url": github.url, "banned_repositories": ("bad/*",)}
    return settings.model_copy(update=changes)


@pytest.fixture
def app(settings: WebSettings, database: Database, clock: Clock) -> Flask:
    app = create_app(settings, database, clock=clock)
    app.test_client_class = DescribedClient
    return app


@pytest.fixture
def lookup(client: FlaskClient) -> Callable[..., TestResponse]:
    def get(ref: str = "main", name: str = "org/repo") -> TestResponse:
        return client.get(f"/api/v1/images/gh/{name}/{ref}")

    return get


Lookup = Callable[..., TestResponse]


def json_of(response: TestResponse, status: int) -> Any:
    """Return the JSON of an answer with this status."""
    assert response.status_code == status, response.text
    return response.json


def error_of(response: TestResponse) -> tuple[int, str]:
    """Return the status and the code of an answer that is an error."""
    assert response.json is not None
    assert response.json["error"]["message"]
    return response.status_code, response.json["error"]["code"]
