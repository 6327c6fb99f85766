"""Resolve a revision to a commit: from the database, else by asking GitHub.

If the repository's pushes are delivered here, the recorded refs are current and decide alone: a recorded tag
counts even though a branch of the same name, which would go first, might exist unrecorded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from base.repository_names import provider_of
from db.database import Database
from db.models import Repository
from db.queries import lookup
from db.queries.lookup import LookupRow
from db.records import builds, refs, repositories
from webhook.access.permissions import User, may_see, may_see_private
from webhook.http.errors import ResolveError
from webhook.lookup.ls_remote import AdvertisedRefs, RepositoryMissing, Unreachable
from webhook.lookup.remote_ref_cache import REFS_MAX_AGE, RemoteRefCache
from webhook.lookup.revision import Revision, single_commit, unknown_repository

LOOKUP_MAX_AGE = REFS_MAX_AGE
"""The maximum age of GitHub's answer for a lookup."""
BUILD_MAX_AGE = timedelta(seconds=3)
"""And for a build: a user who has just pushed wants that commit."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Resolved:
    """A commit and the full ref that led to it: "" for a bare commit, HEAD for a detached HEAD.

    `stale` means that GitHub was unreachable and this is the last known commit.
    """

    commit: str
    ref: str
    default_branch: str | None = None
    stale: bool = False
    private: bool | None = field(default=None, compare=False)
    """Whether GitHub shows the repository to the service's token only; None if it was not asked."""


def trusted_record(
    revision: Revision, rows: Sequence[LookupRow], *, now: datetime, max_age: timedelta
) -> LookupRow | None:
    """Return the recorded ref or commit that answers a revision without asking GitHub, or None."""
    if revision.commit is not None:
        return rows[0] if rows else None
    for row in _by_precedence(revision, rows):
        # Pull requests are not pushed, so their recorded head counts only as long as an answer of GitHub.
        since = None if (row.ref or "").startswith("refs/pull/") else row.webhook_since
        if row.learnt_at is None or not refs.is_trusted(row.learnt_at, since, now=now, max_age=max_age):
            return None
        if row.commit is not None:
            return row
    return None


def _by_precedence(revision: Revision, rows: Sequence[LookupRow]) -> list[LookupRow]:
    known = {row.ref: row for row in rows if row.ref is not None}
    return [known[ref] for ref in revision.refs if ref in known] if revision.refs else list(known.values())


class Resolver:
    """Resolves revisions. `recipe` selects the images that recorded rows contain.

    `per_user_visibility` means that some users may not see every repository.
    """

    def __init__(
        self,
        database: Database,
        remote: RemoteRefCache,
        recipe: str,
        clock: Callable[[], datetime],
        *,
        per_user_visibility: bool = False,
    ) -> None:
        self._database = database
        self._remote = remote
        self._recipe = recipe
        self._clock = clock
        self._per_user_visibility = per_user_visibility

    def recorded(self, full_name: str, revision: Revision) -> list[LookupRow]:
        """Return the recorded rows of everything that a revision can mean; [] for an unknown repository."""
        provider = provider_of(full_name)
        named = (self._database, provider, full_name, self._recipe)
        return lookup.find_rows(*named, commit=revision.commit, refs=revision.refs)

    def can_see(self, user: User, rows: Sequence[LookupRow]) -> bool | None:
        """Return whether the records allow a user to see a repository; None if GitHub must be asked first.

        With per-user visibility GitHub is asked for admins too, or their builds could become visible to everyone.
        """
        is_known = bool(rows) and (rows[0].private or rows[0].private_known)
        if user.is_admin:
            return True if is_known or not self._per_user_visibility else None
        return may_see(user, rows[0]) if is_known else None

    def resolve(
        self,
        full_name: str,
        revision: Revision,
        user: User,
        *,
        max_age: timedelta = LOOKUP_MAX_AGE,
        rows: list[LookupRow] | None = None,
    ) -> Resolved:
        """Return the commit of a revision. `rows` is the result of `recorded`, if the caller has it already.

        A repository that `user` may not see is unknown. Raises ResolveError: unknown_ref, unknown_repository,
        ambiguous_commit or github_unreachable.
        """
        rows = self.recorded(full_name, revision) if rows is None else rows
        if not self.can_see(user, rows):
            # Even if the answer is certainly no: an unknown repository takes this path too, and as long.
            return self._ask_remote(full_name, revision, user, rows, max_age)
        if revision.commit is not None and not self._may_have_become_private(rows):
            return Resolved(revision.commit, "")
        row = None if revision.commit else trusted_record(revision, rows, now=self._clock(), max_age=max_age)
        if row is not None and row.commit is not None and row.ref is not None:
            return Resolved(row.commit, row.ref, row.default_branch)
        if revision.abbreviated and rows and (commit := self._built_commit(rows[0], revision.abbreviated)):
            return Resolved(commit, "")
        return self._ask_remote(full_name, revision, user, rows, max_age)

    def _may_have_become_private(self, rows: Sequence[LookupRow]) -> bool:
        """Return whether a public repository could have become private without a delivery about it.

        Then even a full commit is checked with GitHub, or the service's token would build a private commit for
        anyone who knows its hash.
        """
        return self._per_user_visibility and not any(row.webhook_since for row in rows)

    def _ask_remote(
        self, full_name: str, revision: Revision, user: User, rows: list[LookupRow], max_age: timedelta
    ) -> Resolved:
        try:
            listing = self._remote.list_refs(
                full_name, user, max_age=max_age, other_ref=revision.pull_request
            )
        except RepositoryMissing as exc:
            raise unknown_repository(full_name, str(exc)) from None
        except Unreachable as exc:
            if revision.commit is not None and user.is_admin:
                return Resolved(revision.commit, "")
            # Without GitHub, private repositories cannot be told from others.
            return _last_known(revision, rows if user.is_admin or self.can_see(user, rows) else [], exc)
        private = _advertised_privacy(rows, listing)
        is_hidden = private is not False and not may_see_private(user, full_name)
        if not is_hidden or _is_news(rows, private):
            self._record(full_name, revision, rows, listing, private)
        if is_hidden:
            raise unknown_repository(full_name)
        found = (
            Resolved(revision.commit, "") if revision.commit is not None else find_commit(revision, listing)
        )
        return replace(found, private=private)

    def _built_commit(self, row: LookupRow, abbreviated: str) -> str | None:
        with self._database.read() as session:
            repository = session.get_one(Repository, row.repository_id)
            return single_commit(builds.commits_with_prefix(session, repository, abbreviated), abbreviated)

    def _record(
        self,
        full_name: str,
        revision: Revision,
        rows: list[LookupRow],
        listing: AdvertisedRefs,
        private: bool | None,
    ) -> None:
        """Update the record of a known repository; an unknown one is not recorded."""
        branch = listing.default_branch
        wanted = revision.refs or ((f"refs/heads/{branch}",) if branch and revision.commit is None else ())
        known = {row.ref for row in rows}
        learnt = [ref for ref in wanted if ref in listing.refs or ref in known]
        if not rows or not (learnt or _is_news(rows, private)):
            return
        with self._database.write() as session:
            repository = repositories.find(session, provider_of(full_name), full_name)
            if repository is None:
                return
            if branch and branch != repository.default_branch:
                repository.default_branch = branch
            if private is not None:
                repository.private, repository.private_known = private, True
            for ref in learnt:
                commit = listing.refs.get(ref)
                refs.record_ls_remote(session, repository, ref=ref, commit=commit, now=listing.asked_at)


def _is_news(rows: Sequence[LookupRow], private: bool | None) -> bool:
    recorded = (rows[0].private, rows[0].private_known) if rows else None
    return private is not None and (private, True) != recorded


def _advertised_privacy(rows: Sequence[LookupRow], listing: AdvertisedRefs) -> bool | None:
    """Return whether GitHub's answer makes a repository private; None if the record stays as it is.

    While deliveries arrive, they decide that a repository is private: on a company's GitHub, everyone in the
    network may be able to read a repository that not all users of the hub may see, and a change is delivered.
    """
    is_private_by_delivery = bool(rows) and rows[0].private and rows[0].webhook_since is not None
    return None if is_private_by_delivery and not listing.private else listing.private


def find_commit(revision: Revision, listing: AdvertisedRefs) -> Resolved:
    """Return the commit of a revision from the listed refs. Raises ResolveError."""
    default = listing.default_branch
    if revision.text == "HEAD":
        if "HEAD" not in listing.refs:
            raise ResolveError(
                "unknown_ref", "The repository's default branch has no commits. Push a commit and try again."
            )
        return Resolved(listing.refs["HEAD"], f"refs/heads/{default}" if default else "HEAD", default)
    for ref in revision.refs:
        if ref in listing.refs:
            return Resolved(listing.refs[ref], ref, default)
    if revision.abbreviated:
        tips = {commit for commit in listing.refs.values() if commit.startswith(revision.abbreviated)}
        if commit := single_commit(sorted(tips), revision.abbreviated):
            return Resolved(commit, "", default)
        message = (
            "No branch, tag or built commit starts with these digits. Enter all 40 digits of the commit."
        )
        raise ResolveError("unknown_ref", message)
    message = f"Branch or tag {revision.text} not found in the repository. Check the spelling."
    raise ResolveError("unknown_ref", message)


def _last_known(revision: Revision, rows: Sequence[LookupRow], reason: Unreachable) -> Resolved:
    for row in _by_precedence(revision, rows):
        if row.commit is not None and row.ref is not None:
            log.warning("resolve.stale", repository=row.full_name, ref=row.ref, reason=str(reason))
            return Resolved(row.commit, row.ref, row.default_branch, stale=True)
    raise ResolveError(
        "github_unreachable", f"{reason}. Try again in a few seconds, or enter all 40 digits of a commit."
    ) from reason
