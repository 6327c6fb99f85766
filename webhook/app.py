"""The web application put together: deliveries, the lookup, the API, the pages, health. One per process."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flask import Flask
from flask.json.provider import DefaultJSONProvider

from db.database import Database
from db.records.logs import DatabaseLogStore
from webhook import roles
from webhook.access.auth import LOGIN, Guard
from webhook.access.concurrency_limit import ConcurrencyLimit
from webhook.api import launch_links
from webhook.api.badge import Badges
from webhook.api.builds import BuildsApi
from webhook.api.description import Description
from webhook.api.images import ImagesApi
from webhook.api.logs import LogsApi
from webhook.binderhub.build_api import BinderHubApi
from webhook.builds.build_json import BuildDescriber
from webhook.builds.listing import ExpectedDurations
from webhook.builds.service import BuildService
from webhook.github import receiver
from webhook.http import error_responses
from webhook.lookup.find_image import Lookup
from webhook.lookup.ls_remote import LsRemote
from webhook.lookup.remote_ref_cache import RemoteRefCache
from webhook.lookup.resolve import Resolver
from webhook.monitoring import health
from webhook.monitoring.metrics import Metrics
from webhook.pages import jinja
from webhook.pages.views import Pages
from webhook.settings import WebSettings
from webhook.streaming.log_streams import LogStreams

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_BODY = 64 * 1024
"""Bytes of a request to the API; deliveries have their own limit."""

STREAMS = "repo2hub.streams"
"""Under this name the application's extensions hold its open streams, to be closed before it stops."""

_HEADERS = (
    # Answers are data: should a browser show one, nothing in it may run, load or be framed.
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)


def create_app(
    settings: WebSettings,
    database: Database,
    *,
    environ: Mapping[str, str] = os.environ,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Flask:
    """Return the WSGI application. It opens no connection and starts no thread before its first request.

    `environ` is where git's search path and proxies come from. Raises SettingsError where deliveries come and
    there is no webhook secret.
    """
    app = Flask("repo2hub", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.json = _JsonProvider(app)
    app.url_map.merge_slashes = False  # a ref with two slashes is wrong, and not another ref
    base = settings.base_url.rstrip("/")
    jinja.register(app, base)
    error_responses.register(app)
    roles.register(app, settings.role, base)
    describer = BuildDescriber(settings.base_url)
    limit = ConcurrencyLimit(settings.stream_limit, settings.user_streams, "open logs", "too_many_streams")
    log_store = DatabaseLogStore(database)
    streams = LogStreams(database, log_store, describer.build, clock, limit)
    app.extensions[STREAMS] = streams
    metrics = Metrics(database, streams, clock, settings.role)
    if settings.role != "streams":  # where no delivery comes, and no secret need be
        receiver.register(app, settings, database, f"{base}{receiver.ENDPOINT}", metrics.delivery)
    guard = _guard(app, settings)
    builds = _build_service(settings, database, describer, environ, clock)
    for blueprint in (
        BuildsApi(builds, guard).blueprint(),
        LogsApi(builds, streams, guard, metrics).blueprint(),
        ImagesApi(builds, guard, metrics).blueprint(),
        Description(app, settings).blueprint(),
    ):
        app.register_blueprint(blueprint, url_prefix=f"{base}/api/v1")
    for blueprint in (
        Pages(builds, guard, ExpectedDurations(clock), log_store).blueprint(),
        Badges(database, builds.recipe, guard).blueprint(),
        launch_links.blueprint(settings),
        BinderHubApi(builds, streams, guard, metrics).blueprint(),
        health.blueprint(database, streams, metrics, settings.role),
    ):
        app.register_blueprint(blueprint, url_prefix=base or None)
    app.wsgi_app = _SecurityHeaders(app.wsgi_app)  # type: ignore[method-assign]  # as Flask's documentation has it
    return app


def _guard(app: Flask, settings: WebSettings) -> Guard:
    if settings.auth != "jupyterhub":
        guard = Guard(settings)
        app.add_url_rule(f"{settings.base_url}{LOGIN}", LOGIN, guard.log_in, methods=["GET"])
        return guard
    from webhook.access.hub import authentication  # noqa: PLC0415 -- the package jupyterhub is there only where it is needed

    return Guard(settings, authentication.install(app, settings))


def _build_service(
    settings: WebSettings,
    database: Database,
    describer: BuildDescriber,
    environ: Mapping[str, str],
    clock: Callable[[], datetime],
) -> BuildService:
    token = settings.github_token.get_secret_value() if settings.github_token else None
    remote = RemoteRefCache(LsRemote(settings.github_url, token, environ, clock, settings.git_hosts))
    recipe = settings.recipe()
    per_user_visibility = settings.auth == "jupyterhub" or settings.public_pages
    resolver = Resolver(database, remote, recipe, clock, per_user_visibility=per_user_visibility)
    lookup = Lookup(database, resolver, recipe, clock)
    return BuildService(settings, database, resolver, lookup, describer, recipe, clock)


class _JsonProvider(DefaultJSONProvider):
    """Writes fields in the order in which they were given, with an encoder that is made once."""

    _encode = json.JSONEncoder(separators=(",", ":")).encode

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return self._encode(obj)


class _SecurityHeaders:
    """Adds the headers that every answer has, unless it brings its own.

    Around the application and not as an `after_request`, where they would cost a lookup a tenth of its time.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            own = {name for name, _ in headers}
            headers += [header for header in _HEADERS if header[0] not in own]
            return start_response(status, headers, exc_info)

        return self._app(environ, start)
