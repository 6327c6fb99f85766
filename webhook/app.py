"""The web application put together: deliveries, the lookup, the API, the pages, health. One per process."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flask import Flask
from flask.json.provider import DefaultJSONProvider

from db.allowance import Allowance
from db.engine import Database
from webhook import about, html, problem, receiver, roles, share
from webhook.api import Api
from webhook.auth import LOGIN, Guard
from webhook.badge import Badges
from webhook.binder import Binder
from webhook.build_json import Describe
from webhook.listing import Expectations
from webhook.lookup import Lookup
from webhook.ls_remote import LsRemote
from webhook.metrics import Metrics
from webhook.pages import Pages
from webhook.places import Places
from webhook.ready import Ready
from webhook.remote_refs import RemoteRefs
from webhook.resolve import Resolver
from webhook.settings import WebSettings
from webhook.stream import PAUSE, Streams
from webhook.wish import Wishes

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
    app.json = _Json(app)
    app.url_map.merge_slashes = False  # a ref with two slashes is wrong, and not another ref
    base = settings.base_url.rstrip("/")
    html.register(app, base)
    problem.register(app)
    roles.register(app, settings.role, base)
    describe = Describe(settings.base_url)
    places = Places(settings.stream_places, settings.user_streams, "open logs")
    # Where nothing but streams is served there is nobody to wait for.
    pause = 0.0 if settings.role == "streams" else PAUSE
    streams = Streams(database, describe.build, clock, places, pause=pause)
    app.extensions[STREAMS] = streams
    metrics = Metrics(database, streams, clock, settings.role)
    if settings.role != "streams":  # where no delivery comes, and no secret need be
        receiver.register(app, settings, database, f"{base}{receiver.ENDPOINT}", metrics.delivery)
    guard = _guard(app, settings)
    api = _api(settings, database, guard, streams=streams, metrics=metrics, environ=environ, clock=clock)
    for blueprint in (api.blueprint(), Ready(database, guard, settings.recipe()).blueprint()):
        app.register_blueprint(blueprint, url_prefix=f"{base}/api/v1")
    for blueprint in (
        Pages(settings, database, api, guard, clock, Expectations(clock)).blueprint(),
        Badges(database, settings.recipe(), guard).blueprint(),
        share.blueprint(settings),
        _binder(api).blueprint(),
        about.blueprint(database, streams, metrics, settings.role),
    ):
        app.register_blueprint(blueprint, url_prefix=base or None)
    app.wsgi_app = _Harmless(app.wsgi_app)  # type: ignore[method-assign]  # as Flask's documentation has it
    return app


def _guard(app: Flask, settings: WebSettings) -> Guard:
    if settings.auth != "jupyterhub":
        guard = Guard(settings)
        app.add_url_rule(f"{settings.base_url}{LOGIN}", LOGIN, guard.log_in, methods=["GET"])
        return guard
    from webhook import hub_users  # noqa: PLC0415 -- the package jupyterhub is there only where it is needed

    return Guard(settings, hub_users.set_up(app, settings))


def _api(
    settings: WebSettings,
    database: Database,
    guard: Guard,
    *,
    streams: Streams,
    metrics: Metrics,
    environ: Mapping[str, str],
    clock: Callable[[], datetime],
) -> Api:
    token = settings.github_token.get_secret_value() if settings.github_token else None
    remote = RemoteRefs(LsRemote(settings.github_url, token, environ, clock, settings.git_hosts))
    recipe = settings.recipe()
    users_differ = settings.auth == "jupyterhub" or settings.public_pages
    resolver = Resolver(database, remote, recipe, clock, users_differ=users_differ)
    allowance = Allowance(settings.user_active_builds, settings.user_builds_per_hour)
    return Api(
        settings=settings,
        database=database,
        lookup=Lookup(database, resolver, recipe, clock),
        resolver=resolver,
        wishes=Wishes(database, recipe, clock, allowance),
        streams=streams,
        describe=Describe(settings.base_url),
        guard=guard,
        metrics=metrics,
        clock=clock,
    )


def _binder(api: Api) -> Binder:
    return Binder(
        settings=api.settings,
        database=api.database,
        lookup=api.lookup,
        wishes=api.wishes,
        streams=api.streams,
        guard=api.guard,
        metrics=api.metrics,
        clock=api.clock,
    )


class _Json(DefaultJSONProvider):
    """Writes fields in the order in which they were given, with an encoder that is made once."""

    _encode = json.JSONEncoder(separators=(",", ":")).encode

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return self._encode(obj)


class _Harmless:
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
