"""A test client that checks every JSON response of the API against the OpenAPI description of the service."""

import json
import re
from functools import cache
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

_PREFIX = re.compile(r"/(api/v1|build)/")


class DescribedClient(FlaskClient):
    """Raises AssertionError for a response that the description does not contain."""

    def open(self, *args: Any, **options: Any) -> TestResponse:
        response = super().open(*args, **options)
        check_response(self.application, response)
        return response


def check_response(app: Flask, response: TestResponse) -> None:
    """Raise AssertionError unless the status, media type and JSON of a response are described."""
    request = response.request
    if not _PREFIX.match(request.path) or request.path == "/api/v1/openapi.json":
        return
    document = _strict_document(app)
    responses = find_operation(document, request.path, request.method.lower())["responses"]
    assert str(response.status_code) in responses, f"{request.path}: {response.status} is not described"
    content = responses[str(response.status_code)]["content"]
    assert response.mimetype in content, f"{request.path}: {response.mimetype} is not described"
    if response.mimetype == "application/json":
        schema = {"components": document["components"], **content["application/json"]["schema"]}
        Draft202012Validator(schema).validate(response.json)


def find_operation(document: dict[str, Any], path: str, method: str) -> dict[str, Any]:
    """Return the operation of a request; the path with the fewest parameters goes first, as in OpenAPI."""
    for template in sorted(document["paths"], key=lambda template: template.count("{")):
        pattern = re.sub(r"\\{(\w+)\\}", r".+" if "spec" in template else r"[^/]+", re.escape(template))
        if re.fullmatch(pattern, path, re.DOTALL):
            operation: dict[str, Any] = document["paths"][template][method]
            return operation
    raise AssertionError(f"no path of the description matches {path}")


@cache
def _strict_document(app: Flask) -> dict[str, Any]:
    """Return the description with closed objects: a field that is not described must not appear."""
    document: dict[str, Any] = json.loads(FlaskClient(app).get("/api/v1/openapi.json").data)
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return document
