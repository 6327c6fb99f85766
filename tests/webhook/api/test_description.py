"""The OpenAPI description: complete, valid, and public."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from pydantic import SecretStr
from werkzeug.routing import Rule

from db.database import Database
from tests.webhook.described_client import check_response
from tests.webhook.records import Records
from webhook.app import create_app
from webhook.http import openapi
from webhook.settings import WebSettings


def described(client: FlaskClient, base: str = "") -> Any:
    response = client.get(f"{base}/api/v1/openapi.json")
    assert response.status_code == 200
    return response.json


def routes(app: Flask) -> set[tuple[str, str]]:
    """Return the path and method of every route of the API and of BinderHub's build API."""
    found = set()
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(("/api/v1/", "/build/")):
            found |= {(_template(rule), method.lower()) for method in _methods(rule)}
    return found


def _template(rule: Rule) -> str:
    return re.sub(r"<(\w+:)?(\w+)>", r"{\2}", rule.rule)


def _methods(rule: Rule) -> set[str]:
    # The build API answers every other method with an event that says so.
    return {"GET"} if rule.rule.startswith("/build/") else (rule.methods or set()) - {"HEAD", "OPTIONS"}


def test_every_route_is_described_and_every_description_is_a_route(app: Flask, client: FlaskClient) -> None:
    paths = described(client)["paths"]
    assert {(path, method) for path, item in paths.items() for method in item} == routes(app)
    assert len(paths) == 9


def test_every_path_parameter_is_described(client: FlaskClient) -> None:
    for path, item in described(client)["paths"].items():
        for operation in item.values():
            names = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert names == {part.partition("}")[0] for part in path.split("{")[1:]}


def test_every_reference_leads_to_a_valid_schema(client: FlaskClient) -> None:
    document = described(client)
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    references = set(_references(document))
    assert references == {f"#/components/schemas/{name}" for name in schemas}


def _references(value: Any) -> Any:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        for one in value.values():
            yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)


def test_operations_have_unique_names_and_summaries(client: FlaskClient) -> None:
    operations = [one for item in described(client)["paths"].values() for one in item.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all(one["summary"].endswith(".") for one in operations)


@pytest.mark.parametrize(
    ("auth", "schemes"), [("none", set()), ("token", {"token", "password"}), ("jupyterhub", {"token"})]
)
def test_the_description_needs_no_login_and_names_how_to_log_in(
    settings: WebSettings, database: Database, monkeypatch: pytest.MonkeyPatch, auth: str, schemes: set[str]
) -> None:
    for name in ("API_TOKEN", "CLIENT_ID"):
        monkeypatch.setenv(f"JUPYTERHUB_{name}", "service-binder")
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://127.0.0.1:9/hub/api")
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/services/binder/")
    changes = {"auth": auth, "api_tokens": (SecretStr("secret-token"),), "base_url": "/services/binder/"}
    client = create_app(settings.model_copy(update=changes), database).test_client()
    document = described(client, "/services/binder")
    assert document["servers"] == [{"url": "/services/binder"}]
    assert set(document["components"]["securitySchemes"]) == schemes
    assert document["security"] == [{name: []} for name in document["components"]["securitySchemes"]]
    assert "/api/v1/builds" in document["paths"] and "secret-token" not in str(document)


def test_a_response_that_is_not_described_fails_the_test(
    app: Flask, client: FlaskClient, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.push()
    response = client.get("/api/v1/builds/1")
    response.set_data(response.data.replace(b'"status"', b'"state"'))
    response.__dict__.pop("json", None)
    with pytest.raises(Exception, match="state"):
        check_response(app, response)
    response.status_code = 418
    with pytest.raises(AssertionError, match="418"):
        check_response(app, response)


def test_an_undecorated_view_is_not_described(app: Flask) -> None:
    described_before = len(list(openapi.routes(app)))
    app.add_url_rule("/api/v1/undescribed", view_func=lambda: "")
    assert len(list(openapi.routes(app))) == described_before
    assert ("/api/v1/undescribed", "get") in routes(app)
