"""`GET /api/v1/builds/<id>/log`: a build's log, as text what there is, or as server-sent events to its end."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, Response, request

from db.log_store import Position, parse_position
from webhook.access.auth import Guard
from webhook.access.concurrency_limit import LimitReached
from webhook.builds.json_types import MAX_ATTEMPT, BuildPath, LogQuery
from webhook.builds.service import BuildService
from webhook.http.errors import HttpError
from webhook.http.openapi import Operation, operation
from webhook.http.parameters import parse_build_id, parse_number, unknown_build
from webhook.monitoring.metrics import Metrics
from webhook.streaming.log_streams import LogStream, LogStreams
from webhook.streaming.response import StreamedResponse


@dataclass(frozen=True)
class LogsApi:
    """The view of logs."""

    builds: BuildService
    streams: LogStreams
    guard: Guard
    metrics: Metrics

    def blueprint(self) -> Blueprint:
        """Return the route, to be registered under /api/v1."""
        api = Blueprint("logs", __name__)
        api.before_request(lambda: self.guard.check(request))
        api.add_url_rule("/builds/<build>/log", view_func=self.log, methods=["GET"])
        return api

    @operation(
        Operation(
            {200: ("text/plain", "text/event-stream")},
            errors=(401, 403, 404, 422, 429, 503),
            path=BuildPath,
            query=LogQuery,
        )
    )
    def log(self, build: str) -> Response:
        """Return the log of a build, in the format that the request accepts."""
        build_id, user = parse_build_id(build), self.guard.user()
        wants_events = "text/event-stream" in request.accept_mimetypes.values()
        with self.builds.database.read() as session:
            self.builds.get(session, build_id, user)
        if wants_events:
            after = _requested_position()
            stream = self._within_limit(lambda: self.streams.open(build_id, after, user))
            return _streamed(stream, "text/event-stream; charset=utf-8")
        attempt = self._requested_attempt(build_id)
        stream = self._within_limit(lambda: self.streams.open_text(build_id, attempt, user))
        return _streamed(stream, "text/plain; charset=utf-8")

    def _requested_attempt(self, build_id: int) -> int:
        """Return the attempt in the query string; by default the newest one."""
        attempt = request.args.get("attempt")
        if attempt is None:
            return self.streams.log_store.last_position(build_id).attempt
        return parse_number(attempt, "attempt", MAX_ATTEMPT)

    def _within_limit(self, open_stream: Callable[[], LogStream | None]) -> LogStream:
        """Return the opened stream. Raises HttpError if the limit is reached or the build is gone."""
        try:
            stream = open_stream()
        except LimitReached:
            self.metrics.count_refused_viewer()
            raise
        if stream is None:
            raise unknown_build()
        return stream


def _requested_position() -> Position | None:
    """Return the position to resume from, which a reconnecting browser sends as Last-Event-ID."""
    position = request.headers.get("Last-Event-ID") or request.args.get("after")
    try:
        return None if position is None else parse_position(position)
    except ValueError as exc:
        raise HttpError(422, "bad_position", f"{str(exc).capitalize()}.") from exc


def _streamed(stream: LogStream, content_type: str) -> Response:
    return StreamedResponse(stream.body, on_close=stream.close, content_type=content_type)
