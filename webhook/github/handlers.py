"""Apply deliveries to the records, with one handler for each kind of event.

Handlers run in the transaction that also records the delivery's GUID: either everything is written, or nothing is
and GitHub can redeliver. The records of a banned repository stay up to date. A ban only prevents builds and new
records.
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
    """The outcome of a delivery, with a reason if there was nothing to do."""

    outcome: str
    reason: str | None = None
    repository: Repository | KnownRepository | None = None
    ref: str | None = None
    commit: str | None = None
    build_id: int | None = None
    cancelled: int = 0

    @property
    def is_queued(self) -> bool:
        """Whether the delivery queued or joined a build."""
        return self.build_id is not None


@dataclass(frozen=True, slots=True)
class DeliveryHandlers:
    """The handlers of all supported events."""

    settings: WebSettings
    recipe: str

    def push(self, session: Session, push: Push, now: datetime) -> HandlerResult:
        """Record the new head of the ref, and request its image unless a rule forbids it."""
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
        return self._enqueue(
            session,
            repository,
            push.ref,
            push.commit,
            pushed_at=push.pushed_at,
            title=push.title,
            author=push.author,
            cancel_older=self.settings.supersede if is_newest else None,
            now=now,
        )

    def pull_request(self, session: Session, pull: PullRequest, now: datetime) -> HandlerResult:
        """Request the image of a pull request from a fork, if the settings allow it: anyone can open one.

        The build belongs to the base repository but to the ref of the pull request, so it never provides the
        image, badge or cache of a branch. A newer head always cancels queued builds of older heads.
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
        return self._enqueue(
            session, repository, pull.ref, pull.commit, pushed_at=pull.updated_at, cancel_older=True, now=now
        )

    def ping(self, session: Session, ping: Ping, now: datetime) -> HandlerResult:
        """Record that the repository's pushes will be delivered, if the hook subscribes to them."""
        if ping.source is None or not ping.delivers_pushes:
            return HandlerResult("pong")
        if refused := refusal(ping.source.full_name, self.settings):
            return HandlerResult("refused", refused)
        return HandlerResult("pong", repository=_record(session, ping.source, now, webhook_active=True))

    def hook_removed(self, session: Session, removed: HookRemoved, now: datetime) -> HandlerResult:
        """Stop trusting the recorded heads of the hook's repositories: pushes may no longer be delivered."""
        repository = _known(session, removed.source) if removed.source else None
        if repository is not None:
            refs.clear_webhook_since(session, repository)
        elif removed.organization is not None:
            for owned in _repositories_of_owner(session, removed.organization):
                refs.clear_webhook_since(session, owned)
        return HandlerResult("hook_removed", repository=repository)

    def repository(
        self, session: Session, change: RepositoryChanged | RepositoryDeleted, now: datetime
    ) -> HandlerResult:
        """Update a known repository's name, default branch and visibility, or disable it if it was deleted."""
        repository = _known(session, change.source)
        if repository is None:
            return HandlerResult("ignored", "repository_not_known")
        if isinstance(change, RepositoryChanged):
            return HandlerResult("updated", repository=_record(session, change.source, now))
        repositories.disable(session, repository)  # first, for the order of locks: see db.queue.transitions
        cancelled = supersede.cancel_repository(session, repository, now=now)
        return HandlerResult("repository_deleted", repository=repository, cancelled=cancelled)

    def _skip_reason(self, push: Push) -> str | None:
        if not push_rules.builds_ref(push.ref, self.settings.ref_filters):
            return "ref_filter"
        marker = push_rules.skip_marker(push.message)
        return marker and f"commit message: {marker}"

    def _overtaken_reason(self, session: Session, repository: KnownRepository, push: Push) -> str | None:
        """Return why a push that arrives after a newer push of its ref is not built, or None if it is built."""
        head = refs.head(session, repository, push.ref)
        is_deleted = head is not None and head.commit is None
        return "newer_push_recorded" if is_deleted or self.settings.supersede else None

    def _enqueue(
        self,
        session: Session,
        repository: KnownRepository,
        ref: str,
        commit: str,
        *,
        pushed_at: datetime | None,
        title: str | None = None,
        author: str | None = None,
        cancel_older: bool | None,
        now: datetime,
    ) -> HandlerResult:
        """Enqueue a push, and cancel or delay the queued older pushes of its ref; None leaves them as they are."""
        entry = enqueue.enqueue_entry(
            session,
            repository=repository,
            ref=ref,
            commit=commit,
            recipe=self.recipe,
            trigger=Trigger.PUSH,
            now=now,
            pushed_at=pushed_at,
            commit_title=title,
            commit_author=author,
        )
        build = entry.build
        if build is None:
            return HandlerResult("exists", "image_exists", repository=repository, ref=ref, commit=commit)
        if cancel_older is not None:
            supersede.supersede(session, build, cancel=cancel_older, now=now)
        outcome = entry.outcome.value
        return HandlerResult(outcome, repository=repository, ref=ref, commit=commit, build_id=build.id)


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
    """Return the repository by GitHub's id, or by its name if the record of that name has no id."""
    repository = repositories.find_by_provider_id(session, GITHUB, source.provider_id)
    if repository is not None:
        return repository
    named = repositories.find(session, GITHUB, source.full_name)
    return named if named is not None and named.provider_id is None else None


def _repositories_of_owner(session: Session, login: str) -> list[Repository]:
    prefix = f"{login.lower()}/"
    is_owned = Repository.name_key.startswith(prefix, autoescape=True)
    return list(session.scalars(select(Repository).where(Repository.provider == GITHUB, is_owned)))
