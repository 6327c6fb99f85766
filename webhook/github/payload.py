"""From a delivery's event name and decoded JSON to what happened, as plain values.

A delivery is signed, so it comes from GitHub or from somebody who holds the secret; its contents (ref names,
commit messages, authors) are still written by anybody who can push. This module is where they are checked:
what comes out holds valid refs, commits and names, and text that any database can store. Nothing here does
I/O. Field names and meanings: GitHub's page "Webhook events and payloads".
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
    """The repository a delivery is about. `provider_id` is GitHub's number, which survives a rename.

    `installation_id` is the installation that sent it, where a GitHub App did.
    """

    provider_id: int
    full_name: str
    default_branch: str | None
    private: bool | None
    installation_id: int | None = None
    described_at: datetime | None = None
    """When GitHub last changed what it says of the repository."""


@dataclass(frozen=True, slots=True)
class Push:
    """A branch or tag was created, moved or deleted.

    `commit` is the commit to build: never the tag object of an annotated tag; None if the ref was deleted,
    or is a tag that points to no commit. `message` is that commit's, whole; `title` its first line, storable.
    """

    source: PayloadRepository
    ref: str
    before: str | None
    commit: str | None
    deleted: bool
    forced: bool
    pushed_at: datetime | None
    message: str
    title: str | None
    author: str | None


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request into `source` was opened, got other commits, or was closed; `commit` is its head.

    `before` is the head it had, where it got other commits. A fork that is gone counts as one.
    """

    source: PayloadRepository
    number: int
    commit: str
    before: str | None
    is_fork: bool
    closed: bool
    updated_at: datetime | None

    @property
    def ref(self) -> str:
        """The ref under which GitHub has its head in the repository that it is for."""
        return f"refs/pull/{self.number}/head"


@dataclass(frozen=True, slots=True)
class Ping:
    """A hook was installed; `delivers_pushes` tells whether pushes follow. An organization's has no source."""

    source: PayloadRepository | None
    delivers_pushes: bool


@dataclass(frozen=True, slots=True)
class HookRemoved:
    """A hook was deleted: pushes may go unseen from now on. An organization's hook has no source."""

    source: PayloadRepository | None
    organization: str | None


@dataclass(frozen=True, slots=True)
class RepositoryChanged:
    """A repository was renamed, transferred, made private or public, or edited; `source` is how it is now."""

    source: PayloadRepository
    action: str


@dataclass(frozen=True, slots=True)
class RepositoryDeleted:
    """A repository is gone."""

    source: PayloadRepository


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing that concerns us."""

    reason: str


GitHubEvent = Push | PullRequest | Ping | HookRemoved | RepositoryChanged | RepositoryDeleted | Ignored


def parse_event(event: str, payload: object) -> GitHubEvent:
    """Return what a delivery says happened. Raise MalformedPayload if it cannot be understood."""
    if event in ("create", "delete"):
        return Ignored("covered_by_push")
    read = _READERS.get(event)
    return Ignored("event_not_used") if read is None else read(PayloadFields(payload, ""))


def action_of(payload: object) -> str | None:
    """Return the payload's `action` for the record, or None where there is none worth keeping."""
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
        forced=bool(delivery.flag("forced")),
        pushed_at=delivery.object("repository").time("pushed_at"),
        message=message,
        title=_first_line(message),
        author=_author(head) if head else None,
    )


def _commit_of(ref: str, after: str, head: str | None) -> str | None:
    """Return the commit that `ref` now stands for.

    `after` is what the ref holds: a commit for a branch, but the tag object for an annotated tag, whose
    commit is `head_commit`. A tag without one points to a tree or a file.
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
    # The event "public" has no action: it is what "publicized" was before there were actions.
    action = delivery.optional_text("action") or "publicized"
    source = _source(delivery)
    return RepositoryDeleted(source) if action == "deleted" else RepositoryChanged(source, action)


def _optional_source(delivery: PayloadFields) -> PayloadRepository | None:
    return None if delivery.get("repository") is None else _source(delivery)


def _source(delivery: PayloadFields) -> PayloadRepository:
    repository = delivery.object("repository")
    number = repository.number("id")
    full_name = repository.text("full_name")
    if not FULL_NAME.fullmatch(full_name):
        raise repository.malformed("full_name", "org/repo")
    branch = repository.optional_text("default_branch")
    if branch is not None and not is_ref(f"refs/heads/{branch}"):
        raise repository.malformed("default_branch", "a valid branch name")
    installation = delivery.optional_object("installation")
    sender = installation.number("id") if installation else None
    described_at = repository.time("updated_at")
    return PayloadRepository(number, full_name, branch, repository.flag("private"), sender, described_at)


def _is_zero(commit: str) -> bool:
    """Tell whether this is git's way of saying "no commit"."""
    return not commit.strip("0")


def _first_line(text: str) -> str | None:
    """Return the first line of a text, cut, without the characters a database or a terminal trips over."""
    first = text.strip().split("\n", 1)[0].strip()
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", first)[:_MAX_LINE] or None


_READERS: dict[str, Callable[[PayloadFields], GitHubEvent]] = {
    "push": _push,
    "pull_request": _pull_request,
    "ping": _ping,
    "meta": _hook_removed,
    "repository": _repository_event,
    "public": _repository_event,
}
