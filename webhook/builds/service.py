"""From somebody's wish for an image to a place in the queue, for our API and for BinderHub's alike.

What a push wishes for goes its own way, in its delivery's transaction: `webhook/github/handlers.py`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from base.repository_names import provider_of
from db.database import Database
from db.models import Repository
from db.queue import enqueue, quota
from db.queue.enqueue import Enqueued
from db.queue.quota import UserQuota
from db.records import refs, repositories
from db.records.repositories import RepositoryDescription
from db.status import EnqueueOutcome, Trigger
from webhook.access.permissions import User
from webhook.http.errors import HttpError
from webhook.lookup.resolve import Resolved

_ATTEMPTS = 3
_LS_REMOTE_AGE = timedelta(minutes=1)  # more than has passed since GitHub was asked
_RETRY_AFTER = 60  # seconds after which it makes sense to look whether a build has ended

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """Whose image is wanted, at which commit, and by whom."""

    full_name: str
    resolved: Resolved
    trigger: Trigger
    user: User
    force: bool = False
    """Build although an image exists."""


class BuildService:
    """Puts wishes into the queue of one deployment, whose images are made by `recipe`."""

    def __init__(
        self, database: Database, recipe: str, clock: Callable[[], datetime], allowance: UserQuota
    ) -> None:
        """`allowance` is what anybody may have who is told apart and is no admin."""
        self._database = database
        self._recipe = recipe
        self._clock = clock
        self._allowance = allowance

    def enqueue(self, build_request: BuildRequest, told: Callable[[Session, Enqueued, Repository], T]) -> T:
        """Ask for the image, and return what `told` makes of the answer within the same transaction.

        Raises HttpError: 429 where whoever asks has too many builds already, 503 where too much happened to the
        build at the same moment.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return self._enqueue_once(build_request, told)
            except (enqueue.EnqueueConflict, IntegrityError) as exc:
                log.info("build.request_retried", attempt=attempt, error=type(exc).__name__)
        raise HttpError(503, "try_again", "Too much happened to that build at once. Try again.")

    def _enqueue_once(
        self, build_request: BuildRequest, told: Callable[[Session, Enqueued, Repository], T]
    ) -> T:
        now = self._clock()
        is_free = build_request.user.is_admin or build_request.user.is_service
        limited_user = None if is_free else build_request.user.name
        with self._database.write() as session:
            if limited_user is not None:
                quota.lock_user(session, limited_user)
            repository = _repository(session, build_request, now)
            asked = enqueue.enqueue(
                session,
                repository=repository,
                ref=build_request.resolved.ref,
                commit=build_request.resolved.commit,
                recipe=self._recipe,
                trigger=build_request.trigger,
                requested_by=build_request.user.name,
                force=build_request.force,
                now=now,
            )
            if limited_user is not None and asked.outcome is EnqueueOutcome.QUEUED:
                self._check_allowance(session, limited_user, now)
            answer = told(session, asked, repository)
        outcome, commit = asked.outcome.value, build_request.resolved.commit
        log.info("build.requested", outcome=outcome, repository=build_request.full_name, commit=commit)
        return answer

    def _check_allowance(self, session: Session, name: str, now: datetime) -> None:
        used = quota.find_excess(session, name, self._allowance, now)
        if not used:
            return
        log.info("build.refused", by=name, active=used.active, next_request_at=used.next_request_at)
        if used.next_request_at is not None:
            wait = max(1, math.ceil((used.next_request_at - now).total_seconds()))
            message = (
                f"You have asked for {self._allowance.per_hour} builds within an hour, which is all that one "
                f"user may. Ask again at {used.next_request_at:%H:%M} UTC (in {math.ceil(wait / 60)} min)."
            )
        else:
            wait = _RETRY_AFTER
            message = (
                f"You have {self._allowance.active} builds waiting or running, which is all that one user may. "
                "Ask again when one of them has ended, or cancel one."
            )
        raise HttpError(429, "too_many_builds", message, {"Retry-After": str(wait)})


def _repository(session: Session, build_request: BuildRequest, now: datetime) -> Repository:
    """Return the repository's record, made or corrected; the name on record stays as GitHub wrote it."""
    provider = provider_of(build_request.full_name)
    known = repositories.find(session, provider, build_request.full_name)
    told = RepositoryDescription(
        default_branch=build_request.resolved.default_branch, private=build_request.resolved.private
    )
    name = build_request.full_name if known is None else known.full_name
    repository = repositories.record(session, full_name=name, provider=provider, now=now, **told)
    if known is None and build_request.resolved.ref:
        # Now that it is on record: what it was found at, for when GitHub cannot be asked.
        head, at = build_request.resolved, now - _LS_REMOTE_AGE
        refs.record_ls_remote(session, repository, ref=head.ref, commit=head.commit, now=at)
    return repository
