"""BinderHub's build API: `GET /build/<provider>/<spec>`, for its npm client, fancy-profiles and tljh-repo2docker.

By its protocol everything is an event of a stream with status 200, errors too, and a stream always ends with
`ready` or `failed`. Unlike in BinderHub, a build does not belong to its viewer: a request for a commit that is
being built joins that build and gets its log from the start; disconnecting does not stop it.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Literal

import structlog
from flask import Blueprint, Response, request
from pydantic import Field
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, PathConverter

from db.log_store import START
from db.records import builds
from db.records.build_fields import utc_isoformat
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
from webhook.binderhub.spec import SUPPORTED, parse_provider_spec, raw_path
from webhook.builds.backoff import rebuild_allowed_at
from webhook.builds.service import BuildRequest, BuildService
from webhook.http.errors import HttpError, ResolveError
from webhook.http.openapi import Operation, operation
from webhook.lookup.find_image import Hit, Miss
from webhook.lookup.resolve import BUILD_MAX_AGE, Resolved
from webhook.monitoring.metrics import Metrics
from webhook.streaming.log_streams import LogStream, LogStreams
from webhook.streaming.response import StreamedResponse

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_RENAMED = ("main", "master")  # a default branch may have been renamed since the link was written

log = structlog.get_logger()


class _AnyPathConverter(BaseConverter):
    """What `path` matches, and also line feeds and a slash at the beginning: they are refused as an event."""

    regex = r"(?s:.+)"
    part_isolating = False
    weight = PathConverter.weight


class BuildStreamPath(TypedDict):
    """The path of a build request."""

    spec: Annotated[str, Field(description=f"{SUPPORTED}; the ref defaults to HEAD.")]


class BuildStreamQuery(TypedDict, total=False):
    """The query of a build request."""

    build_only: Literal["true", "false"]
    lastEventId: str


@dataclass(frozen=True, slots=True)
class BinderHubRequest:
    """One authorized request."""

    request: BuildRequest
    form: BinderHubFormat
    reconnects_to: str
    """The id of the build that a reconnecting browser followed, or ""."""


@dataclass
class _Events:
    """What a request is answered with: the events that are known at once, and the log that follows them."""

    first: list[bytes] = field(default_factory=list)
    log: LogStream | None = None
    used_image: int | None = None
    """The image whose use is to be recorded after the answer."""


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

    @operation(
        Operation(
            {200: (CONTENT_TYPE,)},
            path=BuildStreamPath,
            query=BuildStreamQuery,
            methods=("GET",),
        )
    )
    def build(self, spec: str) -> Response:
        """Return the log of a build as events, which end with the image or an error.

        This is the build API of BinderHub. The status is always 200; the last event has the phase `ready` and
        the field `imageName`, or the phase `failed` and the field `status_code`.
        """
        events = _Events()
        try:
            binder_request = self._parse_request()
            if request.method != "HEAD":
                self._collect(binder_request, events)
        except HTTPException:
            raise  # the redirect of a browser to its login
        except Exception as exc:
            events.first.append(self._failure(exc))
        if events.log is None:
            answer = Response(iter(events.first), content_type=CONTENT_TYPE)
        else:
            body = self._follow(events.first, events.log)
            answer = StreamedResponse(body, on_close=events.log.close, content_type=CONTENT_TYPE)
        if events.used_image is not None:
            answer.call_on_close(partial(self.builds.lookup.record_use, events.used_image))
        answer.headers["Cache-Control"] = "no-cache"
        answer.headers["Access-Control-Allow-Headers"] = "cache-control"
        answer.headers["X-Accel-Buffering"] = "no"  # nginx would hold lines back
        return answer

    def _parse_request(self) -> BinderHubRequest:
        """Read the request. Raises HttpError."""
        if request.method not in ("GET", "HEAD"):
            raise HttpError(405, "method_not_allowed", "Use GET.")
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
        return BinderHubRequest(build_request, BinderHubFormat(launch=not only), before)

    def _collect(self, binder_request: BinderHubRequest, events: _Events) -> None:
        """Find the image or the build of a request, and add what to answer. Raises HttpError."""
        build_request = binder_request.request
        found = self.builds.find_image(build_request, max_age=BUILD_MAX_AGE)
        if isinstance(found, Miss) and found.state == "unknown_ref" and build_request.ref in _RENAMED:
            message = f"Branch {build_request.ref} not found. Retrying with HEAD..."
            events.first.append(event("waiting", message))
            found = self.builds.find_image(replace(build_request, ref="HEAD"), max_age=BUILD_MAX_AGE)
        if isinstance(found, Hit):
            self.metrics.count_build_request("cached")
            events.first.append(_cached(found, self._server(found), binder_request))
            events.used_image = found.image_id if self.builds.lookup.is_use_due(found) else None
            return
        if found.resolved is None:
            raise ResolveError(found.state, found.message)
        if found.resolved.stale:
            message = f"{self._server(found)} cannot be reached; using the last known commit."
            events.first.append(event("waiting", message))
        build_id = self._build_of(found, found.resolved, binder_request, events)
        if build_id is not None:
            self._open_log(build_id, binder_request, events)

    def _build_of(
        self, miss: Miss, resolved: Resolved, binder_request: BinderHubRequest, events: _Events
    ) -> int | None:
        """Return the build to follow, which may be new, or None if there is an image by now."""
        if recent := self._recent_failure(miss, binder_request):
            self.metrics.count_build_request("replayed")
            build_id, explanation = recent
            events.first.append(explanation)
            return build_id
        if (cancelling := self._cancelling_build(miss)) is not None:
            self.metrics.count_build_request(EnqueueOutcome.JOINED)
            return cancelling
        started = self._start(miss, resolved, binder_request)
        if isinstance(started, bytes):
            events.first.append(started)
            return None
        return started

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
        message = f"The last build of this commit ended {ago} s ago without an image; its log follows."
        message += f" You can request it again in {seconds} s." if seconds else ""
        which = {"build_id": build.id, "again_at": utc_isoformat(again), "cached": True}
        return build.id, event("waiting", message, which)

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
                f"{self._server(miss)} cannot be reached, and the last known commit has no image. Try again."
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

    def _open_log(self, build_id: int, binder_request: BinderHubRequest, events: _Events) -> None:
        """Add a build's log from its start to its end, and how it ended. Raises HttpError."""
        try:
            events.log = self.streams.open(build_id, START, binder_request.request.user, binder_request.form)
        except LimitReached as exc:
            self.metrics.count_refused_viewer()
            message = f"{exc.reason}. Request it again in a minute; build {build_id} continues."
            raise HttpError(exc.status, "too_many_streams", message, {"Retry-After": "60"}) from None
        if events.log is None:
            raise HttpError(
                410, "unknown_build", "The record of this build was removed. Request the image again."
            )
        # A browser that reconnects says which build it means.
        events.first.append(f"id: {build_id}\n\n".encode())

    async def _follow(self, first: Sequence[bytes], stream: LogStream) -> AsyncGenerator[bytes, None]:
        """Yield a stream, and whatever fails in it as its last event."""
        yield b"".join(first)
        try:
            async with aclosing(stream.body) as body:
                async for piece in body:
                    yield piece
        except Exception as exc:
            yield self._failure(exc)

    def _failure(self, exc: Exception) -> bytes:
        """Return what failed as the last event of a stream."""
        if isinstance(exc, HttpError):
            return self._refusal(exc)
        if isinstance(exc, OperationalError | InterfaceError | PoolTimeout):
            log.error("binder.database_unavailable", error=type(exc).__name__, exc_info=exc)
            message = "The service cannot reach its database. Try again in a few seconds."
            return failed(message, status_code=503, retry=RETRY_BROKEN)
        log.error("binder.failed", error=type(exc).__name__, exc_info=exc)
        message = "The service ran into an unexpected error. An admin can find the details in its log."
        return failed(message, status_code=500)

    def _server(self, found: Hit | Miss) -> str:
        """Return what messages call the server of the repository."""
        return self.builds.settings.git_provider(found.repository).display_name(found.repository)

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


def _cached(hit: Hit, server: str, binder_request: BinderHubRequest) -> bytes:
    message = "Done! Found built image"
    if hit.stale:
        message += f" of the last known commit, since {server} cannot be reached"
    which = {"commit": hit.commit, "ref": hit.ref or None, "cached": True, "stale": hit.stale or None}
    return ready(hit.name, message, which, launch=binder_request.form.launch)
