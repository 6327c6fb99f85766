"""The API under /api/v1: which image is it, build it, how far is it, stop it. For the hub, scripts and pages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import structlog
from flask import Blueprint, Response, jsonify, request
from sqlalchemy.orm import Session

from db.database import Database
from db.models import Build, Repository
from db.queries import history
from db.queue import transitions
from db.queue.enqueue import Enqueued
from db.records import builds, images, logs
from db.records.logs import Position
from db.status import CancelResult, Trigger
from webhook.access import build_rules
from webhook.access.auth import Guard
from webhook.access.concurrency_limit import LimitReached
from webhook.access.permissions import may_change, may_see, may_see_build, read_access
from webhook.builds import build_json, listing
from webhook.builds.build_json import JSON, BuildDescriber
from webhook.builds.service import BuildRequest, BuildService
from webhook.http.errors import HttpError
from webhook.http.parameters import build_id as parse_id
from webhook.http.parameters import parse_build_request, parse_number, unknown_build, with_query
from webhook.lookup.lookup import Hit, Lookup, Miss
from webhook.lookup.resolve import BUILD_MAX_AGE, Resolved, Resolver
from webhook.lookup.revision import parse_ref, parse_repository
from webhook.monitoring.metrics import Metrics
from webhook.settings import WebSettings
from webhook.streaming.connection import Connection
from webhook.streaming.log_streams import LogStreams

MAX_PAGE = 100
_PAGE = 50  # chunks of a log in memory at a time

log = structlog.get_logger()

T = TypeVar("T")
Answer = Response | tuple[Response, int] | tuple[Response, int, dict[str, str]]


@dataclass(frozen=True)
class BuildsApi:
    """The views of one deployment."""

    settings: WebSettings
    database: Database
    lookup: Lookup
    resolver: Resolver
    build_service: BuildService
    streams: LogStreams
    describe: BuildDescriber
    guard: Guard
    metrics: Metrics
    clock: Callable[[], datetime]

    def blueprint(self) -> Blueprint:
        """Return the routes, to be registered under the base path."""
        api = Blueprint("api", __name__, url_prefix="/api/v1")
        api.before_request(lambda: self.guard.check(request))
        api.add_url_rule("/images/gh/<path:spec>", view_func=self.image, methods=["GET"])
        api.add_url_rule("/builds", view_func=self.list_builds, methods=["GET"])
        api.add_url_rule("/builds", view_func=self.request_build, methods=["POST"])
        api.add_url_rule("/builds/<build>", view_func=self.build, methods=["GET"])
        api.add_url_rule("/builds/<build>/log", view_func=self.log, methods=["GET"])
        api.add_url_rule("/builds/<build>/cancel", view_func=self.cancel, methods=["POST"])
        api.add_url_rule("/builds/<build>/rebuild", view_func=self.rebuild, methods=["POST"])
        return api

    def image(self, spec: str) -> Answer:
        """Answer which image `org/repo/ref` has; without a ref, HEAD is meant."""
        org, _, rest = spec.partition("/")
        repo, _, ref = rest.partition("/")
        found = self.lookup.find(self._allowed_repository(f"{org}/{repo}"), ref or "HEAD", self.guard.user())
        self.metrics.lookup(hit=isinstance(found, Hit))
        if isinstance(found, Miss):
            return jsonify(self.describe.miss(found)), 404
        answer = jsonify(build_json.hit(found))
        if self.lookup.is_use_due(found):
            # After the answer is sent: whoever starts a server does not wait for a write.
            answer.call_on_close(lambda: self.lookup.record_use(found.image_id))
        return answer

    def list_builds(self) -> Answer:
        """Answer builds, newest first; `next` is where the page below is."""
        given = request.args.to_dict()
        limit = parse_number(given.get("limit", "50"), "limit", MAX_PAGE)
        query = listing.parse(given, self.settings.github_url)
        with self.database.read() as session:
            wanted, seen = listing.to_filter(session, query), read_access(self.guard.user())
            page = history.page_with_active(session, seen, wanted, below=query.below, limit=limit + 1)
            shown = self.describe.page(session, page[:limit], self.clock())
        more = len(page) > limit
        below = with_query(request.path, given, before=shown[-1]["id"]) if more else None
        return jsonify(builds=shown, next=below)

    def request_build(self) -> Answer:
        """Ask for the image of a ref."""
        repository, ref, force = parse_build_request(request.get_data(cache=False))
        full_name = self._allowed_repository(repository)
        resolved = self.resolver.resolve(full_name, parse_ref(ref), self.guard.user(), max_age=BUILD_MAX_AGE)
        return self._enqueue(full_name, resolved, force=force)

    def build(self, build: str) -> Answer:
        """Answer all that there is to know of a build."""
        with self.database.read() as session:
            found = self._visible_build(session, build)
            return jsonify(self.describe.build(session, found, self.clock()))

    def log(self, build: str) -> Answer:
        """Answer a build's log: as text what there is, or as events to its end."""
        build_id = parse_id(build)
        if "text/event-stream" in request.accept_mimetypes.values():
            with self.database.read() as session:
                self._visible_build(session, build)
            return self._events(build_id)
        attempt = request.args.get("attempt")
        with self.database.read() as session:
            self._visible_build(session, build)
            newest = logs.last_position(session, build_id).attempt
        wanted = newest if attempt is None else parse_number(attempt, "attempt", 999_999_999)
        free = self._within_limit(lambda: self.streams.reserve(self.guard.user()))
        answer = Response(self._text(build_id, wanted), content_type="text/plain; charset=utf-8")
        answer.call_on_close(free)
        return answer

    def cancel(self, build: str) -> Answer:
        """Stop a build: at once while it is queued, else within its builder's next heartbeat."""
        with self.database.write() as session:
            build_id = self._changeable_build(session, build).id
            outcome = transitions.cancel(session, build_id, by=self.guard.user().name, now=self.clock())
        if outcome is CancelResult.TOO_LATE:
            raise HttpError(409, "already_finished", "The build has ended already.")
        log.info("build.cancel", build=build_id, outcome=outcome.value)
        with self.database.read() as session:
            shown = self.describe.build(session, self._visible_build(session, build), self.clock())
        return jsonify(outcome=outcome, build=shown), 200 if outcome is CancelResult.DONE else 202

    def rebuild(self, build: str) -> Answer:
        """Build the same commit again, though an image exists."""
        with self.database.read() as session:
            before = self._changeable_build(session, build)
        if not may_see(self.guard.user(), before.repository):
            raise HttpError(403, "not_yours", "You may not see its repository any more; ask an admin.")
        full_name = self._allowed_repository(before.repository.full_name)
        return self._enqueue(full_name, Resolved(before.commit, before.ref), force=True)

    def _visible_build(self, session: Session, build: str) -> Build:
        """Return a build that whoever asks may see. Raises HttpError."""
        found = builds.get(session, parse_id(build))
        if found is None or not may_see_build(self.guard.user(), found):
            raise unknown_build()
        return found

    def _changeable_build(self, session: Session, build: str) -> Build:
        """Return a build that whoever asks may stop or have made again. Raises HttpError."""
        found = self._visible_build(session, build)
        if not may_change(self.guard.user(), found):
            message = (
                "Somebody else asked for this build: only they and admins can stop it or build it again."
            )
            raise HttpError(403, "not_yours", message)
        return found

    def _allowed_repository(self, text: str) -> str:
        """Return the repository's name, or raise HttpError where this service does not serve it."""
        full_name = parse_repository(text, self.settings.github_url)
        allowed, banned = self.settings.allowed_repositories, self.settings.banned_repositories
        if code := build_rules.refusal(full_name, allowed=allowed, banned=banned):
            raise HttpError(403, code, "This service does not serve that repository; ask its admin.")
        return full_name

    def _enqueue(self, full_name: str, resolved: Resolved, *, force: bool) -> Answer:
        build_request = BuildRequest(full_name, resolved, Trigger.MANUAL, self.guard.user(), force)

        def told(session: Session, asked: Enqueued, repository: Repository) -> JSON:
            return self._enqueued_json(session, asked, repository, resolved)

        answer = self.build_service.enqueue(build_request, told)
        if "build" not in answer:
            return jsonify(answer)
        return jsonify(answer), 202, {"Location": answer["build"]["links"]["self"]}

    def _enqueued_json(
        self, session: Session, asked: Enqueued, repository: Repository, resolved: Resolved
    ) -> JSON:
        answer: JSON = {"outcome": asked.outcome.value}
        if resolved.stale:
            answer["stale"] = True
        if asked.image is not None:
            name = repository.full_name
            images.record_use(session, asked.image, self.clock())
            return answer | {"image": build_json.image(asked.image, repository=name, ref=resolved.ref)}
        assert asked.build is not None  # noqa: S101 -- enqueue gives one of the two
        build = builds.get(session, asked.build.id)
        assert build is not None  # noqa: S101
        return answer | {"build": self.describe.build(session, build, self.clock())}

    def _events(self, build_id: int) -> Answer:
        given = request.headers.get("Last-Event-ID") or request.args.get("after")
        try:
            after = None if given is None else logs.parse_position(given)
        except ValueError as exc:
            raise HttpError(422, "bad_position", f"{str(exc).capitalize()}.") from exc
        user, connection = self.guard.user(), Connection.of(request.environ)
        viewer = self._within_limit(lambda: self.streams.open(build_id, after, user, connection=connection))
        if viewer is None:
            raise unknown_build()
        answer = Response(viewer.events(), content_type="text/event-stream; charset=utf-8")
        # Not left to the generator alone: one that was never begun is never ended either.
        answer.call_on_close(viewer.leave)
        answer.headers["X-Accel-Buffering"] = "no"  # or nginx keeps the lines back
        return answer

    def _within_limit(self, take: Callable[[], T]) -> T:
        """Return what has taken a place. Raises HttpError where there is none."""
        try:
            return take()
        except LimitReached as exc:
            self.metrics.count_refused_viewer()
            message = f"{exc}. Try again soon."
            raise HttpError(exc.status, "too_many_streams", message, {"Retry-After": "10"}) from None

    def _text(self, build_id: int, attempt: int) -> Iterator[bytes]:
        after = Position(attempt, 0)
        while True:
            with self.database.read() as session:
                page = logs.read(session, build_id, after=after, limit=_PAGE)
            mine = [(at, text) for at, text in page if at.attempt == attempt]
            if not mine:
                return
            yield "".join(text for _, text in mine).encode("utf-8", "replace")
            after = mine[-1][0]
