"""The OpenAPI description of the API, at /api/v1/openapi.json.

It is public, as the service's versions are: it contains nothing but what the source code says, and clients are
generated from it before they have a token.
"""

from functools import cached_property
from importlib.metadata import version
from typing import Any

from flask import Blueprint, Flask, Response, jsonify

from webhook.http import openapi
from webhook.http.openapi import Operation, operation
from webhook.settings import WebSettings

_BEARER = {"type": "http", "scheme": "bearer"}
_SECURITY = {
    "none": {},
    "token": {
        "token": _BEARER | {"description": "One of REPO2HUB_API_TOKENS."},
        "password": {"type": "http", "scheme": "basic", "description": "An API token as the password."},
    },
    "jupyterhub": {"token": _BEARER | {"description": "A token of the hub, or one of REPO2HUB_API_TOKENS."}},
}


class Description:
    """The description of one application, made when it is first requested."""

    def __init__(self, app: Flask, settings: WebSettings) -> None:
        self._app = app
        self._settings = settings

    def blueprint(self) -> Blueprint:
        """Return the route, to be registered under /api/v1."""
        api = Blueprint("openapi", __name__)
        api.add_url_rule("/openapi.json", view_func=self.openapi, methods=["GET"])
        return api

    @operation(Operation({200: dict[str, Any]}, is_public=True))
    def openapi(self) -> Response:
        """Return this description."""
        return jsonify(self._document)

    @cached_property
    def _document(self) -> dict[str, Any]:
        settings = self._settings
        security = _SECURITY[settings.auth]
        return openapi.describe(
            self._app, base=settings.base_url, version=version("repo2hub"), security=security
        )
