"""Parse deliveries into events: plain values with valid refs, commits and names, and storable text.

Deliveries are signed, but everyone who can push writes parts of them: ref names, commit messages and authors. All
of these are validated here. No I/O. GitHub's page "Webhook events and payloads" documents the fields.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from webhook.github.payload_fields import MalformedPayload, PayloadFields
from webhook.lookup.git_names import FULL_NAME, is_ref

__all__ = ["MalformedPayload"]

_UNSTORABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_MAX_LINE = 200


@dataclass(frozen=True, slots=True)
class PayloadRepository:
    """The repository that a delivery concerns."""

    provider_id: int
    """GitHub's id, which stays the same when the repository is renamed or transferred."""
    full_name: str
    default_branch: str | None
    private: bool | None
    installation_id: int | None = None
    """The installation of the GitHub App that sent the delivery, if one did."""
    described_at: datetime | None = None
    """When GitHub last updated the repository's description."""


@dataclass(frozen=True, slots=True)
class Push:
    """A branch or tag was created, moved or deleted.

    `message` is the whole message of the commit, and `title` its first line, sanitized.
    """

    source: PayloadRepository
    ref: str
    before: str | None
    commit: str | None
    """The commit to build, never the object of an annotated tag. None if the ref was deleted or has no commit."""
    deleted: bool
    pushed_at: datetime | None
    message: str
    title: str | None
    author: str | None


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request into `source` was opened, updated or closed."""

    source: PayloadRepository
    number: int
    commit: str
    """The head of the pull request."""
    before: str | None
    """The previous head, if the pull request was updated."""
    is_fork: bool
    """Whether the head is in another repository, or in one that was deleted."""
    closed: bool
    updated_at: datetime | None

    @property
    def ref(self) -> str:
        """The ref of the head in the base repository."""
        return f"refs/pull/{self.number}/head"


@dataclass(frozen=True, slots=True)
class Ping:
    """A hook was installed."""

    source: PayloadRepository | None
    """None for an organization's hook."""
    delivers_pushes: bool
    """Whether the hook is active and subscribes to pushes."""


@dataclass(frozen=True, slots=True)
class HookRemoved:
    """A hook was deleted, so pushes may no longer be delivered."""

    source: PayloadRepository | None
    """None for an organization's hook."""
    organization: str | None


@dataclass(frozen=True, slots=True)
class RepositoryChanged:
    """A repository was renamed, transferred, made private or public, or edited; `source` is its new state."""

    source: PayloadRepository


@dataclass(frozen=True, slots=True)
class RepositoryDeleted:
    """A repository was deleted."""

    source: PayloadRepository


@dataclass(frozen=True, slots=True)
class Ignored:
    """A delivery without effect."""

    reason: str


GitHubEvent = Push | PullRequest | Ping | HookRemoved | RepositoryChanged | RepositoryDeleted | Ignored


def parse_event(event: str, payload: object) -> GitHubEvent:
    """Parse the decoded JSON of a delivery. Raises MalformedPayload if a field is missing or invalid."""
    if event in ("create", "delete"):
        return Ignored("covered_by_push")
    parse = _PARSERS.get(event)
    return Ignored("event_not_used") if parse is None else parse(PayloadFields(payload, ""))


def action_of(payload: object) -> str | None:
    """Return the payload's `action` to record, or None if it is missing or invalid."""
    action = payload.get("action") if isinstance(payload, dict) else None
    return action if isinstance(action, str) and re.fullmatch(r"[a-z_-]{1,64}", action) else None


def _push(delivery: PayloadFields) -> Push | Ignored:
    ref = delivery.text("ref")
    if not is_ref(ref):
        raise delivery.malformed("ref", "a valid full ref name")
    before, after = delivery.commit("before"), delivery.commit("after")
    source = _source(delivery)
    if not ref.startswith(("refs/heads/", "refs/tags/")):
        return Ignored("not_a_branch_or_tag")
    deleted = delivery.flag("deleted") or _is_zero(after)
    head = None if deleted else delivery.optional_object("head_commit")
    message = (head.optional_text("message") if head else None) or ""
    return Push(
        source=source,
        ref=ref,
        before=None if _is_zero(before) else before,
        commit=None if deleted else _commit_of(ref, after, head.commit("id") if head else None),
        deleted=deleted,
        pushed_at=delivery.object("repository").time("pushed_at"),
        message=message,
        title=_first_line(message),
        author=_author(head) if head else None,
    )


def _commit_of(ref: str, after: str, head: str | None) -> str | None:
    """Return the commit that `ref` points at, or None if it points at a tree or a file.

    `after` is the object in the ref: a commit for a branch, but the tag object for an annotated tag. The commit of
    a tag is `head_commit`.
    """
    return head if ref.startswith("refs/tags/") else after


def _author(commit: PayloadFields) -> str | None:
    author = commit.optional_object("author")
    if author is None:
        return None
    return _first_line(author.optional_text("username") or author.optional_text("name") or "")


def _pull_request(delivery: PayloadFields) -> PullRequest | Ignored:
    action = delivery.text("action")
    if action not in ("opened", "reopened", "synchronize", "closed"):
        return Ignored("event_not_used")
    pull, source = delivery.object("pull_request"), _source(delivery)
    head = pull.object("head")
    origin = head.optional_object("repo")
    return PullRequest(
        source=source,
        number=pull.number("number"),
        commit=head.commit("sha"),
        before=None if delivery.get("before") is None else delivery.commit("before"),
        is_fork=origin is None or origin.number("id") != source.provider_id,
        closed=action == "closed",
        updated_at=pull.time("updated_at"),
    )


def _ping(delivery: PayloadFields) -> Ping:
    hook = delivery.optional_object("hook")
    events = hook.get("events") if hook else None
    subscribed = isinstance(events, list) and ("push" in events or "*" in events)
    active = hook is not None and hook.flag("active") is True
    return Ping(_optional_source(delivery), delivers_pushes=subscribed and active)


def _hook_removed(delivery: PayloadFields) -> HookRemoved | Ignored:
    if delivery.text("action") != "deleted":
        return Ignored("event_not_used")
    organization = delivery.optional_object("organization")
    login = organization.text("login") if organization else None
    return HookRemoved(_optional_source(delivery), login)


def _repository_event(delivery: PayloadFields) -> RepositoryChanged | RepositoryDeleted:
    action = delivery.optional_text("action")  # the event "public" has none
    source = _source(delivery)
    return RepositoryDeleted(source) if action == "deleted" else RepositoryChanged(source)


def _optional_source(delivery: PayloadFields) -> PayloadRepository | None:
    return None if delivery.get("repository") is None else _source(delivery)


def _source(delivery: PayloadFields) -> PayloadRepository:
    repository = delivery.object("repository")
    provider_id = repository.number("id")
    full_name = repository.text("full_name")
    if not FULL_NAME.fullmatch(full_name):
        raise repository.malformed("full_name", "org/repo")
    branch = repository.optional_text("default_branch")
    if branch is not None and not is_ref(f"refs/heads/{branch}"):
        raise repository.malformed("default_branch", "a valid branch name")
    installation = delivery.optional_object("installation")
    return PayloadRepository(
        provider_id=provider_id,
        full_name=full_name,
        default_branch=branch,
        installation_id=installation.number("id") if installation else None,
        described_at=repository.time("updated_at"),
        private=repository.flag("private"),
    )


def _is_zero(commit: str) -> bool:
    """Return whether a commit is all zeros, which in git means "no commit"."""
    return not commit.strip("0")


def _first_line(text: str) -> str | None:
    """Return the first line of a text, shortened and sanitized for databases and terminals, or None if empty."""
    first_line = text.strip().split("\n", 1)[0].strip()
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", first_line)[:_MAX_LINE] or None


_PARSERS: dict[str, Callable[[PayloadFields], GitHubEvent]] = {
    "push": _push,
    "pull_request": _pull_request,
    "ping": _ping,
    "meta": _hook_removed,
    "repository": _repository_event,
    "public": _repository_event,
}
