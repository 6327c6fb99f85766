"""The public routes: health, versions, metrics and repository providers."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr

from db.database import Database
from webhook.app import create_app
from webhook.settings import WebSettings


@pytest.fixture
def app(settings: WebSettings, database: Database) -> Flask:
    return create_app(settings, database)


@pytest.mark.parametrize("path", ["/health", "/versions", "/metrics", "/api/repoproviders"])
def test_the_routes_are_public(settings: WebSettings, database: Database, path: str) -> None:
    changes = {"auth": "token", "api_tokens": (SecretStr("s3cret"),)}
    client = create_app(settings.model_copy(update=changes), database).test_client()
    for host in ("localhost", "hub.example"):
        assert client.get(path, headers={"Host": host}).status_code == 200
        assert client.head(path, headers={"Host": host}).status_code == 200


def test_providers_have_binderhubs_form(client: FlaskClient) -> None:
    providers = client.get("/api/repoproviders").json
    assert isinstance(providers, list) and [provider["id"] for provider in providers] == ["gh", "git"]
    for provider in providers:
        assert {"displayName", "spec", "repo", "ref"} <= set(provider)
        assert re.fullmatch(provider["spec"]["validateRegex"], "org/repo/main")
        assert provider["ref"] == {"enabled": True, "default": "HEAD"}


def test_pages_of_all_origins_can_read_the_versions(client: FlaskClient) -> None:
    response = client.get("/versions")
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.json is not None and "binderhub" in response.json
