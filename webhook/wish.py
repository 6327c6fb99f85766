"""From somebody's wish for an image to a place in the queue, for our API and for BinderHub's alike.

What a push wishes for goes its own way, in its delivery's transaction: `webhook/effects.py`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import allowance, queue, refs, repositories
from db.allowance import Allowance
from db.engine import Database
from db.models import Repository
from db.queue import Enqueued
from db.repositories import Told
from db.status import Outcome, Trigger
from webhook.person import Person
from webhook.problem import Problem
from webhook.resolve import Resolved

_ATTEMPTS = 3
_ANSWER_AGE = timedelta(minutes=1)  # more than has passed since GitHub was asked
_SOON = 60  # seconds after which it makes sense to look whether a build has ended

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wish:
    """Whose image is wanted, at which commit, and by whom."""

    full_name: str
    resolved: Resolved
    trigger: Trigger
    person: Person
    force: bool = False
    """Build although an image exists."""


class Wishes:
    """Puts wishes into the queue of one deployment, whose images are made by `recipe`."""

    def __init__(
        self, database: Database, recipe: str, clock: Callable[[], datetime], allowance: Allowance
    ) -> None:
        """`allowance` is what anybody may have who is told apart and is no admin."""
        self._database = database
        self._recipe = recipe
        self._clock = clock
        self._allowance = allowance

    def enqueue(self, wish: Wish, told: Callable[[Session, Enqueued, Repository], T]) -> T:
        """Ask for the image, and return what `told` makes of the answer within the same transaction.

        Raises Problem: 429 where whoever asks has too many builds already, 503 where too much happened to the
        build at the same moment.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return self._enqueue_once(wish, told)
            except (queue.EndedMeanwhile, IntegrityError) as exc:
                log.info("build.request_retried", attempt=attempt, error=type(exc).__name__)
        raise Problem(503, "try_again", "Too much happened to that build at once. Try again.")

    def _enqueue_once(self, wish: Wish, told: Callable[[Session, Enqueued, Repository], T]) -> T:
        now = self._clock()
        is_free = wish.person.is_admin or wish.person.is_service
        limited = None if is_free else wish.person.name
        with self._database.write() as session:
            if limited is not None:
                allowance.hold(session, limited)
            repository = _repository(session, wish, now)
            asked = queue.enqueue(
                session,
                repository=repository,
                ref=wish.resolved.ref,
                commit=wish.resolved.commit,
                recipe=self._recipe,
                trigger=wish.trigger,
                requested_by=wish.person.name,
                force=wish.force,
                now=now,
            )
            if limited is not None and asked.outcome is Outcome.QUEUED:
                self._check_allowance(session, limited, now)
            answer = told(session, asked, repository)
        outcome, commit = asked.outcome.value, wish.resolved.commit
        log.info("build.requested", outcome=outcome, repository=wish.full_name, commit=commit)
        return answer

    def _check_allowance(self, session: Session, name: str, now: datetime) -> None:
        used = allowance.exceeded(session, name, self._allowance, now)
        if not used:
            return
        log.info("build.refused", by=name, active=used.active, free_at=used.free_at)
        if used.free_at is not None:
            wait = max(1, math.ceil((used.free_at - now).total_seconds()))
            message = (
                f"You have asked for {self._allowance.per_hour} builds within an hour, which is all that one "
                f"user may. Ask again at {used.free_at:%H:%M} UTC (in {math.ceil(wait / 60)} min)."
            )
        else:
            wait = _SOON
            message = (
                f"You have {self._allowance.active} builds waiting or running, which is all that one user may. "
                "Ask again when one of them has ended, or cancel one."
            )
        raise Problem(429, "too_many_builds", message, {"Retry-After": str(wait)})


def _repository(session: Session, wish: Wish, now: datetime) -> Repository:
    """Return the repository's record, made or corrected; the name on record stays as GitHub wrote it."""
    provider = repositories.provider_of(wish.full_name)
    known = repositories.find(session, provider, wish.full_name)
    told = Told(default_branch=wish.resolved.default_branch, private=wish.resolved.private)
    name = wish.full_name if known is None else known.full_name
    repository = repositories.record(session, full_name=name, provider=provider, now=now, **told)
    if known is None and wish.resolved.ref:
        # Now that it is on record: what it was found at, for when GitHub cannot be asked.
        head, at = wish.resolved, now - _ANSWER_AGE
        refs.record_ls_remote(session, repository, ref=head.ref, commit=head.commit, now=at)
    return repository
