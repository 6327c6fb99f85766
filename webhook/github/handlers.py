"""What each delivery changes in the records.

Every function here runs inside the transaction that also holds the delivery's GUID: either all of it is
written, or nothing is and GitHub's redelivery finds the way free. What is known of a repository is kept right
even if it is banned; a ban keeps it from being built and from being added.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from base.repository_names import GITHUB
from db.models import Repository
from db.queue import enqueue, supersede
from db.records import refs, repositories
from db.records.repositories import KnownRepository
from db.status import Trigger
from webhook.access.allowed_repositories import refusal
from webhook.github import push_rules
from webhook.github.payload import (
    HookRemoved,
    PayloadRepository,
    Ping,
    PullRequest,
    Push,
    RepositoryChanged,
    RepositoryDeleted,
)
from webhook.settings import WebSettings


@dataclass(frozen=True, slots=True)
class HandlerResult:
    """What became of a delivery: `outcome` in a word, `reason` where there was nothing to do."""

    outcome: str
    reason: str | None = None
    repository: Repository | KnownRepository | None = None
    ref: str | None = None
    commit: str | None = None
    build_id: int | None = None
    cancelled: int = 0

    @property
    def is_queued(self) -> bool:
        """Whether a build is under way because of it."""
        return self.build_id is not None


@dataclass(frozen=True, slots=True)
class DeliveryHandlers:
    """The handlers of the events that concern us, for one deployment."""

    settings: WebSettings
    recipe: str

    def push(self, session: Session, push: Push, now: datetime) -> HandlerResult:
        """Record where the ref stands now, and ask for its image unless a rule says no."""
        refused = refusal(push.source.full_name, self.settings)
        if refused and _known(session, push.source) is None:
            return HandlerResult("refused", refused)
        repository = _record(session, push.source, now, webhook_active=True)
        is_newest = refs.record_push(
            session,
            repository,
            ref=push.ref,
            commit=push.commit,
            before=push.before,
            pushed_at=push.pushed_at,
            now=now,
        )
        if push.deleted:
            return _ref_deleted(session, repository, push, is_newest, now)
        if refused:
            return HandlerResult("refused", refused, repository=repository, ref=push.ref, commit=push.commit)
        reason = self._skip_reason(push) or (
            None if is_newest else self._overtaken_reason(session, repository, push)
        )
        if push.commit is None or reason:
            reason = reason or "no_commit"
            return HandlerResult("skipped", reason, repository=repository, ref=push.ref, commit=push.commit)
        return self._enqueue(session, repository, push, push.commit, is_newest=is_newest, now=now)

    def pull_request(self, session: Session, pull: PullRequest, now: datetime) -> HandlerResult:
        """Ask for the image of a fork's pull request, where the admin allows that: anybody can open one.

        It is built under the name of the repository that it is for, and recorded under its own ref: no branch's
        image, badge or cache is ever taken from it. A newer head always cancels what waits of an older one.
        """
        if not pull.is_fork:
            return HandlerResult("ignored", "covered_by_push")
        if not self.settings.fork_pull_requests:
            return HandlerResult("ignored", "fork_pull_requests_off")
        if refused := refusal(pull.source.full_name, self.settings):
            return HandlerResult("refused", refused)
        repository = _record(session, pull.source, now)
        is_newest = refs.record_push(
            session,
            repository,
            ref=pull.ref,
            commit=None if pull.closed else pull.commit,
            before=pull.commit if pull.closed else pull.before,
            pushed_at=pull.updated_at,
            now=now,
        )
        if not is_newest:
            return HandlerResult("skipped", "newer_push_recorded", repository=repository, ref=pull.ref)
        if pull.closed:
            cancelled = supersede.cancel_ref(session, repository, pull.ref, now=now)
            return HandlerResult(
                "pull_request_closed", repository=repository, ref=pull.ref, cancelled=cancelled
            )
        return self._enqueue_pull(session, repository, pull, now)

    def _enqueue_pull(
        self, session: Session, repository: KnownRepository, pull: PullRequest, now: datetime
    ) -> HandlerResult:
        placed = enqueue.enqueue_entry(
            session,
            repository=repository,
            ref=pull.ref,
            commit=pull.commit,
            recipe=self.recipe,
            trigger=Trigger.PUSH,
            pushed_at=pull.updated_at,
            now=now,
        )
        if placed.build is None:
            return HandlerResult(
                "exists", "image_exists", repository=repository, ref=pull.ref, commit=pull.commit
            )
        supersede.supersede(session, placed.build, cancel=True, now=now)
        outcome, build_id = placed.outcome.value, placed.build.id
        return HandlerResult(
            outcome, repository=repository, ref=pull.ref, commit=pull.commit, build_id=build_id
        )

    def ping(self, session: Session, ping: Ping, now: datetime) -> HandlerResult:
        """Note that the repository's pushes will arrive, if the hook says so."""
        if ping.source is None or not ping.delivers_pushes:
            return HandlerResult("pong")
        if refused := refusal(ping.source.full_name, self.settings):
            return HandlerResult("refused", refused)
        return HandlerResult("pong", repository=_record(session, ping.source, now, webhook_active=True))

    def hook_removed(self, session: Session, removed: HookRemoved, now: datetime) -> HandlerResult:
        """Trust no recorded head of the hook's repositories any more: a push may go unseen from now on."""
        repository = _known(session, removed.source) if removed.source else None
        if repository is not None:
            refs.clear_webhook_since(session, repository)
        elif removed.organization is not None:
            for one in _repositories_of_owner(session, removed.organization):
                refs.clear_webhook_since(session, one)
        return HandlerResult("hook_removed", repository=repository)

    def repository(
        self, session: Session, change: RepositoryChanged | RepositoryDeleted, now: datetime
    ) -> HandlerResult:
        """Keep a known repository's name, branch and visibility right, or close it if it is gone."""
        repository = _known(session, change.source)
        if repository is None:
            return HandlerResult("ignored", "repository_not_known")
        if isinstance(change, RepositoryChanged):
            return HandlerResult("updated", repository=_record(session, change.source, now))
        repositories.disable(session, repository)  # first: see db.queue.transitions on the order of locks
        cancelled = supersede.cancel_repository(session, repository, now=now)
        return HandlerResult("repository_deleted", repository=repository, cancelled=cancelled)

    def _skip_reason(self, push: Push) -> str | None:
        if not push_rules.builds_ref(push.ref, self.settings.ref_filters):
            return "ref_filter"
        marker = push_rules.skip_marker(push.message)
        return marker and f"commit message: {marker}"

    def _overtaken_reason(self, session: Session, repository: KnownRepository, push: Push) -> str | None:
        """Say why a push is not built that arrives after a newer one of its ref, or None: every push is built."""
        head = refs.head(session, repository, push.ref)
        is_gone = head is not None and head.commit is None
        return "newer_push_recorded" if is_gone or self.settings.supersede else None

    def _enqueue(
        self,
        session: Session,
        repository: KnownRepository,
        push: Push,
        commit: str,
        *,
        is_newest: bool,
        now: datetime,
    ) -> HandlerResult:
        placed = enqueue.enqueue_entry(
            session,
            repository=repository,
            ref=push.ref,
            commit=commit,
            recipe=self.recipe,
            trigger=Trigger.PUSH,
            now=now,
            pushed_at=push.pushed_at,
            commit_title=push.title,
            commit_author=push.author,
        )
        build = placed.build
        if build is None:
            return HandlerResult("exists", "image_exists", repository=repository, ref=push.ref, commit=commit)
        if is_newest:
            supersede.supersede(session, build, cancel=self.settings.supersede, now=now)
        outcome = placed.outcome.value
        return HandlerResult(outcome, repository=repository, ref=push.ref, commit=commit, build_id=build.id)


def _ref_deleted(
    session: Session, repository: KnownRepository, push: Push, is_newest: bool, now: datetime
) -> HandlerResult:
    if not is_newest:
        return HandlerResult("skipped", "newer_push_recorded", repository=repository, ref=push.ref)
    cancelled = supersede.cancel_ref(session, repository, push.ref, now=now)
    return HandlerResult("ref_deleted", repository=repository, ref=push.ref, cancelled=cancelled)


def _record(
    session: Session, source: PayloadRepository, now: datetime, webhook_active: bool | None = None
) -> KnownRepository:
    return repositories.record_if_changed(
        session,
        provider_id=source.provider_id,
        full_name=source.full_name,
        default_branch=source.default_branch,
        private=source.private,
        webhook_active=webhook_active,
        installation_id=source.installation_id,
        described_at=source.described_at,
        now=now,
    )


def _known(session: Session, source: PayloadRepository) -> Repository | None:
    """Return the repository by GitHub's number, else by a name that no number is known for."""
    repository = repositories.find_by_provider_id(session, GITHUB, source.provider_id)
    if repository is not None:
        return repository
    namesake = repositories.find(session, GITHUB, source.full_name)
    return namesake if namesake is not None and namesake.provider_id is None else None


def _repositories_of_owner(session: Session, login: str) -> list[Repository]:
    prefix = f"{login.lower()}/"
    named = Repository.name_key.startswith(prefix, autoescape=True)
    return list(session.scalars(select(Repository).where(Repository.provider == GITHUB, named)))
