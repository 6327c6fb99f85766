"""BinderHub's build API: `GET /build/<provider>/<spec>`, for its npm client, fancy-profiles and tljh-repo2docker.

By its protocol everything is an event of a stream with the status 200, refusals too; a stream never ends without
`ready` or `failed`. Unlike BinderHub's own, a build is not its viewer's: whoever asks for a commit that is being
built joins, gets its log from the start, and may leave without stopping it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import structlog
from flask import Blueprint, Response, request
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.routing import BaseConverter, PathConverter

from base.repository_names import GITHUB, provider_of
from db.records import builds
from db.records.build_fields import utc_isoformat
from db.records.logs import START
from db.status import EnqueueOutcome, HeartbeatResult, Trigger
from webhook.access.allowed_repositories import check_allowed
from webhook.access.auth import Guard
from webhook.access.concurrency_limit import LimitReached
from webhook.binderhub.events import (
    CONTENT_TYPE,
    RETRY_BROKEN,
    RETRY_FAILED,
    BinderHubFormat,
    event,
    failed,
    ready,
)
from webhook.binderhub.spec import parse_provider_spec, raw_path
from webhook.builds.backoff import rebuild_allowed_at
from webhook.builds.service import BuildRequest, BuildService
from webhook.http.errors import HttpError, ResolveError
from webhook.lookup.lookup import Hit, Miss
from webhook.lookup.resolve import BUILD_MAX_AGE, Resolved
from webhook.monitoring.metrics import Metrics
from webhook.streaming.connection import Connection, ViewerGone
from webhook.streaming.log_streams import LogStreams

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_RENAMED = ("main", "master")  # a default branch may have been renamed since the link was written

log = structlog.get_logger()


class _AnyPathConverter(BaseConverter):
    """What `path` matches, and also line feeds and a slash at the beginning: they are refused as an event."""

    regex = r"(?s:.+)"
    part_isolating = False
    weight = PathConverter.weight


@dataclass(frozen=True, slots=True)
class BinderHubRequest:
    """One request, by somebody who may ask."""

    request: BuildRequest
    form: BinderHubFormat
    reconnects_to: str
    """The id of the build that a browser was told of before its connection broke, or ""."""
    connection: Connection | None


@dataclass(frozen=True)
class BinderHubApi:
    """The build API of one deployment."""

    builds: BuildService
    streams: LogStreams
    guard: Guard
    metrics: Metrics

    def blueprint(self) -> Blueprint:
        """Return the route, to be registered under the base path."""
        binder = Blueprint("binder", __name__)
        binder.record(lambda state: state.app.url_map.converters.update(anything=_AnyPathConverter))
        binder.add_url_rule(
            "/build/<anything:spec>", view_func=self.build, methods=_METHODS, provide_automatic_options=False
        )
        return binder

    def build(self, spec: str) -> Response:
        """Answer the events of one request."""
        try:
            events = self._errors_as_events(self.events(self._parse_request()))
        except HttpError as exc:
            events = iter([self._refusal(exc)])
        if request.method == "HEAD":
            events = iter(())
        answer = Response(events, content_type=CONTENT_TYPE)
        answer.headers["Cache-Control"] = "no-cache"
        answer.headers["Access-Control-Allow-Headers"] = "cache-control"
        answer.headers["X-Accel-Buffering"] = "no"  # or nginx keeps the lines back
        return answer

    def _parse_request(self) -> BinderHubRequest:
        """Read the request. Raises HttpError."""
        if request.method not in ("GET", "HEAD"):
            raise HttpError(405, "method_not_allowed", "Ask with GET.")
        only = request.args.get("build_only", "").lower() == "true"
        # BinderHub asks this of all. httpx and others send */*, and who says build_only knows what this is.
        if not only and CONTENT_TYPE not in request.accept_mimetypes.values():
            raise HttpError(400, "not_acceptable", f"Missing Accept header: {CONTENT_TYPE}")
        self.guard.check(request)
        self.guard.check_may_start(request)
        settings = self.builds.settings
        raw = raw_path(request.environ, f"{settings.base_url}build/")
        spec = parse_provider_spec(raw, git_hosts=settings.git_hosts, github_url=settings.github_url)
        check_allowed(spec.full_name, settings)  # before the first event: a refusal is the only one
        build_request = BuildRequest(*spec, self.guard.user(), Trigger.LAUNCH)
        # The polyfill for browsers without an EventSource puts it into the query.
        before = request.headers.get("Last-Event-ID") or request.args.get("lastEventId", "")
        form, connection = BinderHubFormat(launch=not only), Connection.of(request.environ)
        return BinderHubRequest(build_request, form, before, connection)

    def events(self, binder_request: BinderHubRequest) -> Iterator[bytes]:
        """Yield the whole stream of one request. Raises HttpError, which ends it."""
        build_request = binder_request.request
        found = self.builds.find_image(build_request, max_age=BUILD_MAX_AGE)
        if isinstance(found, Miss) and found.state == "unknown_ref" and build_request.ref in _RENAMED:
            yield event("waiting", f"There is no {build_request.ref}. Trying again with HEAD...")
            found = self.builds.find_image(replace(build_request, ref="HEAD"), max_age=BUILD_MAX_AGE)
        if isinstance(found, Hit):
            self.metrics.count_build_request("cached")
            yield _cached(found, binder_request)
            if self.builds.lookup.is_use_due(found):
                self.builds.lookup.record_use(found.image_id)
            return
        if found.resolved is None:
            raise ResolveError(found.state, found.message)
        if found.resolved.stale:
            yield event(
                "waiting", f"{_server(found)} cannot be reached; going on with the last known commit."
            )
        ended = self._recent_failure(found, binder_request)
        if ended is not None:
            self.metrics.count_build_request("replayed")
            build_id, told = ended
            yield told
        elif (stopping := self._cancelling_build(found)) is not None:
            self.metrics.count_build_request(EnqueueOutcome.JOINED)
            build_id = stopping
        else:
            started = self._start(found, found.resolved, binder_request)
            if isinstance(started, bytes):
                yield started
                return
            build_id = started
        yield from self._follow(build_id, binder_request)

    def _recent_failure(self, miss: Miss, binder_request: BinderHubRequest) -> tuple[int, bytes] | None:
        """Return the commit's build and what to say of it, where it is over and not to be started again yet."""
        if miss.build is None or miss.state not in ("failed", "cancelled"):
            return None
        now = self.builds.clock()
        with self.builds.database.read() as session:
            build = builds.get(session, miss.build)
            if build is None or build.finished_at is None:
                return None
            again = rebuild_allowed_at(build.finished_at, build.reason, builds.count_failures(session, build))
        if again <= now and binder_request.reconnects_to != str(build.id):
            return None
        seconds = max(0, round((again - now).total_seconds()))
        ago = round((now - build.finished_at).total_seconds())
        told = f"This commit was tried {ago} s ago and did not build; its log follows."
        told += f" It can be asked for again in {seconds} s." if seconds else ""
        which = {"build_id": build.id, "again_at": utc_isoformat(again), "cached": True}
        return build.id, event("waiting", told, which)

    def _cancelling_build(self, miss: Miss) -> int | None:
        """Return the commit's build if it is being cancelled: a GET, which browsers repeat, does not undo that."""
        if miss.build is None or miss.state != "running":
            return None
        with self.builds.database.read() as session:
            is_cancelled = builds.cancel_requested(session, miss.build) is HeartbeatResult.CANCEL
        return miss.build if is_cancelled else None

    def _start(self, miss: Miss, resolved: Resolved, binder_request: BinderHubRequest) -> int | bytes:
        """Enqueue a build and return its id, or the end of the stream if the image exists by now."""
        if resolved.stale and miss.state not in ("queued", "running"):
            message = (
                f"{_server(miss)} cannot be reached, and the last known commit has no image. Try again later."
            )
            raise ResolveError("github_unreachable", message)
        requested = self.builds.enqueue(replace(binder_request.request, full_name=miss.repository), resolved)
        self.metrics.count_build_request("cached" if requested.image else requested.outcome.value)
        if requested.image is not None:
            fields = {"commit": resolved.commit, "ref": resolved.ref, "cached": True}
            launch = binder_request.form.launch
            return ready(requested.image.name, "Done! Found built image", fields, launch=launch)
        assert requested.build_id is not None  # noqa: S101 -- a request gives an image or a build
        return requested.build_id

    def _follow(self, build_id: int, binder_request: BinderHubRequest) -> Iterator[bytes]:
        """Yield a build's log from its start to its end, and how it ended."""
        try:
            viewer = self.streams.open(
                build_id, START, binder_request.request.user, binder_request.form, binder_request.connection
            )
        except LimitReached as exc:
            self.metrics.count_refused_viewer()
            message = f"{exc.reason}. Ask again in a minute; build {build_id} goes on meanwhile."
            raise HttpError(exc.status, "too_many_streams", message, {"Retry-After": "60"}) from None
        if viewer is None:
            raise HttpError(410, "unknown_build", "The build is not on record any more. Ask again.")
        try:
            yield f"id: {build_id}\n\n".encode()  # a browser that reconnects says which build it means
            yield from viewer.events()
        finally:
            viewer.leave()  # not left to `events` alone: whoever leaves at the first line has not begun it

    def _errors_as_events(self, events: Iterator[bytes]) -> Iterator[bytes]:
        """Yield a stream, and whatever goes wrong in it as its last event."""
        try:
            yield from events
        except HttpError as exc:
            yield self._refusal(exc)
        except (OperationalError, InterfaceError, PoolTimeout) as exc:
            log.error("binder.database_away", error=type(exc).__name__, exc_info=exc)
            message = "The database of the service does not answer. Ask again soon."
            yield failed(message, status_code=503, retry=RETRY_BROKEN)
        except ViewerGone:
            raise  # there is nobody to tell
        except Exception as exc:
            log.error("binder.failed", error=type(exc).__name__, exc_info=exc)
            message = "Something went wrong in the service; its log says what. Tell its admin."
            yield failed(message, status_code=500)

    def _refusal(self, exc: HttpError) -> bytes:
        """Return why there is nothing else to say, as the only event or the last."""
        self.metrics.count_build_request("refused")
        if isinstance(exc, ResolveError):
            # BinderHub answers 400 to a spec that it cannot read, where our API answers 422. No `retry_after`: its
            # clients would repeat a lookup by themselves, which a user has to correct or start again.
            status = 400 if exc.status == 422 else exc.status
            return failed(str(exc), status_code=status, code=exc.code)
        seconds = int(exc.headers.get("Retry-After", 0)) or None
        which = {"status_code": exc.status, "code": exc.code, "retry_after": seconds}
        return failed(str(exc), which, retry=seconds * 1000 if seconds else RETRY_FAILED)


def _cached(hit: Hit, binder_request: BinderHubRequest) -> bytes:
    message = "Done! Found built image"
    if hit.stale:
        message += f" of the last known commit, since {_server(hit)} cannot be reached"
    which = {"commit": hit.commit, "ref": hit.ref or None, "cached": True, "stale": hit.stale or None}
    return ready(hit.name, message, which, launch=binder_request.form.launch)


def _server(found: Hit | Miss) -> str:
    provider = provider_of(found.repository)
    return "GitHub" if provider == GITHUB else found.repository.split("/")[2]
