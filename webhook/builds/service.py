"""Request, find, rebuild, cancel and describe builds: the rules that the API, BinderHub's API and the pages share.

A push enqueues its build in the transaction of its delivery: `webhook/github/handlers.py`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from base.repository_names import provider_of
from db.database import Database
from db.models import Build, Image, Repository
from db.queue import enqueue, quota, transitions
from db.queue.enqueue import Enqueued
from db.queue.quota import UserQuota
from db.records import builds, images, refs, repositories
from db.status import CancelResult, EnqueueOutcome, Trigger
from webhook.access.allowed_repositories import check_allowed
from webhook.access.permissions import User, may_change, may_see, may_see_build
from webhook.builds.build_json import BuildDescriber, image_json
from webhook.builds.json_types import BuildJson, RequestedJson
from webhook.http.errors import HttpError
from webhook.http.parameters import unknown_build
from webhook.lookup.find_image import Hit, Lookup, Miss
from webhook.lookup.resolve import BUILD_MAX_AGE, LOOKUP_MAX_AGE, Resolved, Resolver
from webhook.lookup.revision import parse_ref
from webhook.settings import WebSettings

_ATTEMPTS = 3
_LS_REMOTE_AGE = timedelta(minutes=1)  # longer than the time since GitHub was asked
_RETRY_AFTER = 60  # seconds until one of the user's builds may have ended

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """Who asks for the image of which repository and ref."""

    full_name: str
    ref: str
    """A branch, tag or commit as the user wrote it."""
    user: User
    trigger: Trigger = Trigger.MANUAL
    force: bool = False
    """Build even if the image exists."""


@dataclass(frozen=True, slots=True)
class RequestedBuild:
    """The result of a request: the id of a new or active build, or the image if it exists already."""

    outcome: EnqueueOutcome
    repository: str
    resolved: Resolved
    build_id: int | None = None
    image: Image | None = None


@dataclass(frozen=True)
class BuildService:
    """The builds of one deployment, whose images are built with `recipe`."""

    settings: WebSettings
    database: Database
    resolver: Resolver
    lookup: Lookup
    describer: BuildDescriber
    recipe: str
    clock: Callable[[], datetime]

    def find_image(self, request: BuildRequest, *, max_age: timedelta = LOOKUP_MAX_AGE) -> Hit | Miss:
        """Return the image of a repository and ref, or why there is none.

        GitHub's answer is not older than `max_age`. Raises ResolveError, or HttpError 403 if the settings do not
        allow the repository.
        """
        check_allowed(request.full_name, self.settings)
        return self.lookup.find(request.full_name, request.ref, request.user, max_age=max_age)

    def request(self, request: BuildRequest) -> RequestedBuild:
        """Resolve the ref and enqueue a build, unless the image exists.

        Raises what `find_image` and `enqueue` raise.
        """
        check_allowed(request.full_name, self.settings)
        revision = parse_ref(request.ref)
        resolved = self.resolver.resolve(request.full_name, revision, request.user, max_age=BUILD_MAX_AGE)
        return self.enqueue(request, resolved)

    def rebuild(self, build_id: int, user: User) -> RequestedBuild:
        """Build the commit of a build again. Raises HttpError, also if the user lost access to the repository."""
        with self.database.read() as session:
            build = self.get_changeable(session, build_id, user)
        if not may_see(user, build.repository):
            message = "You no longer have access to the repository of this build. Ask an admin for access."
            raise HttpError(403, "not_yours", message)
        request = BuildRequest(build.repository.full_name, build.commit, user, force=True)
        check_allowed(request.full_name, self.settings)
        return self.enqueue(request, Resolved(build.commit, build.ref))

    def enqueue(self, request: BuildRequest, resolved: Resolved) -> RequestedBuild:
        """Enqueue a build of a resolved commit, join the active one, or return the image that exists.

        Raises HttpError: 429 if the user reached a limit, 503 if concurrent requests got in the way each time.
        """
        for attempt in range(_ATTEMPTS):
            try:
                requested = self._enqueue_once(request, resolved)
            except (enqueue.EnqueueConflict, IntegrityError) as exc:
                log.info("build.request_retried", attempt=attempt, error=type(exc).__name__)
                continue
            outcome, name = requested.outcome.value, requested.repository
            log.info("build.requested", outcome=outcome, repository=name, commit=resolved.commit)
            return requested
        message = "Too many requests changed this build at the same time. Try again in a few seconds."
        raise HttpError(503, "try_again", message, {"Retry-After": "5"})

    def cancel(self, build_id: int, user: User) -> CancelResult:
        """Cancel a build: a queued one now, a running one with its builder's next heartbeat.

        Raises HttpError: 403 if the user may not cancel it, 404 if they may not see it, 409 if it has ended.
        """
        with self.database.write() as session:
            build = self.get_changeable(session, build_id, user)
            outcome = transitions.cancel(session, build.id, by=user.name, now=self.clock())
        if outcome is CancelResult.TOO_LATE:
            raise HttpError(409, "already_finished", "The build has already finished.")
        log.info("build.cancel_requested", build=build_id, outcome=outcome.value)
        return outcome

    def get(self, session: Session, build_id: int, user: User) -> Build:
        """Return a build with its repository. Raises HttpError 404 unless the user may see it.

        The error is the same as for a build that does not exist: the existence of a private build is private.
        """
        build = builds.get(session, build_id)
        if build is None or not may_see_build(user, build):
            raise unknown_build()
        return build

    def get_changeable(self, session: Session, build_id: int, user: User) -> Build:
        """Return a build that the user may cancel and rebuild. Raises HttpError 404 or 403."""
        build = self.get(session, build_id, user)
        if not may_change(user, build):
            message = "Only admins and the user who requested this build can cancel or rebuild it."
            raise HttpError(403, "not_yours", message)
        return build

    def describe(self, build_id: int, user: User) -> BuildJson:
        """Return a build as JSON. Raises HttpError 404 unless the user may see it."""
        with self.database.read() as session:
            return self.describer.build(session, self.get(session, build_id, user), self.clock())

    def describe_requested(self, requested: RequestedBuild) -> RequestedJson:
        """Return the result of a request as JSON."""
        resolved = requested.resolved
        answer: RequestedJson = {"outcome": requested.outcome}
        if resolved.stale:
            answer["stale"] = True
        if requested.image is not None:
            answer["image"] = image_json(requested.image, repository=requested.repository, ref=resolved.ref)
        if requested.build_id is not None:
            with self.database.read() as session:
                build = builds.get(session, requested.build_id)
                if build is None:
                    raise unknown_build()  # removed within the last moment
                answer["build"] = self.describer.build(session, build, self.clock())
        return answer

    def _enqueue_once(self, request: BuildRequest, resolved: Resolved) -> RequestedBuild:
        now, user = self.clock(), request.user
        limited_user = None if user.is_admin or user.is_service else user.name
        with self.database.write() as session:
            if limited_user is not None:
                quota.lock_user(session, limited_user)
            repository = _record_repository(session, request.full_name, resolved, now)
            enqueued = enqueue.enqueue(
                session,
                repository=repository,
                ref=resolved.ref,
                commit=resolved.commit,
                recipe=self.recipe,
                trigger=request.trigger,
                requested_by=user.name,
                force=request.force,
                now=now,
            )
            if limited_user is not None and enqueued.outcome is EnqueueOutcome.QUEUED:
                self._check_quota(session, limited_user, now)
            if enqueued.image is not None:
                images.record_use(session, enqueued.image, now)
        return _requested(enqueued, repository, resolved)

    def _check_quota(self, session: Session, name: str, now: datetime) -> None:
        limit = UserQuota(self.settings.user_active_builds, self.settings.user_builds_per_hour)
        excess = quota.find_excess(session, name, limit, now)
        if not excess:
            return
        log.info("build.refused", by=name, active=excess.active, next_request_at=excess.next_request_at)
        if excess.next_request_at is not None:
            wait = max(1, math.ceil((excess.next_request_at - now).total_seconds()))
            message = (
                f"You reached your limit of {limit.per_hour} builds an hour. "
                f"Try again at {excess.next_request_at:%H:%M} UTC (in {math.ceil(wait / 60)} min)."
            )
        else:
            wait = _RETRY_AFTER
            message = (
                f"You reached your limit of {limit.active} queued and running builds. "
                "Wait until one has finished, or cancel one."
            )
        raise HttpError(429, "too_many_builds", message, {"Retry-After": str(wait)})


def _requested(enqueued: Enqueued, repository: Repository, resolved: Resolved) -> RequestedBuild:
    requested = RequestedBuild(enqueued.outcome, repository.full_name, resolved, image=enqueued.image)
    return requested if enqueued.build is None else replace(requested, build_id=enqueued.build.id)


def _record_repository(session: Session, full_name: str, resolved: Resolved, now: datetime) -> Repository:
    """Insert or update the record of a repository; a known one keeps its spelling, which is GitHub's."""
    provider = provider_of(full_name)
    known = repositories.find(session, provider, full_name)
    repository = repositories.record(
        session,
        full_name=full_name if known is None else known.full_name,
        provider=provider,
        default_branch=resolved.default_branch,
        private=resolved.private,
        now=now,
    )
    if known is None and resolved.ref:
        # Record the ref too, for lookups while GitHub is unreachable.
        at = now - _LS_REMOTE_AGE
        refs.record_ls_remote(session, repository, ref=resolved.ref, commit=resolved.commit, now=at)
    return repository
