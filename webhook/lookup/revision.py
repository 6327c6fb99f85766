"""Parse what a user writes: `org/repo/ref` into a repository and a revision. Pure.

A revision is read by these rules, in order: 40 (or 64) hexadecimal digits are that commit. `HEAD` is the
default branch. A name that starts with `refs/` is that ref. Any other name is a branch, else a tag, else what
follows `refs/` (`heads/x`, `tags/x`, `pull/7/head`), else 7 or more hexadecimal digits are the only known
commit that starts with them. A branch goes before a tag of the same name, as in GitHub's URLs; git itself
would take the tag.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from base.repository_names import is_at_github
from webhook.http.errors import ResolveError
from webhook.lookup.git_names import COMMIT, FULL_NAME, is_ref

_ABBREVIATED = re.compile(r"[0-9a-fA-F]{7,63}")


class Spec(NamedTuple):
    """A repository by its full name, and a ref as the user wrote it."""

    full_name: str
    ref: str


@dataclass(frozen=True, slots=True)
class Revision:
    """What a user's ref can mean: a commit, the first of some full refs that exists, or HEAD (no refs)."""

    text: str
    commit: str | None = None
    refs: tuple[str, ...] = ()
    abbreviated: str | None = None

    def recorded_as(self, default_branch: str | None) -> tuple[str, ...]:
        """Return the full refs under which its builds can be recorded, the most likely first."""
        return (f"refs/heads/{default_branch}", "HEAD") if self.text == "HEAD" else self.refs

    @property
    def pull_request(self) -> str | None:
        """The pull request's ref, if it is one. To list all of them would make GitHub's answer far longer."""
        last = self.refs[-1] if self.refs else ""
        return last if re.fullmatch(r"refs/pull/\d+/(head|merge)", last) else None


def parse_spec(text: str, github_url: str = "https://github.com") -> Spec:
    """Return the repository and ref of `org/repo` or `org/repo/ref`; the ref can contain slashes.

    Without a ref it is HEAD. Raises ResolveError if the repository's name is invalid; `parse_ref` validates
    the ref.
    """
    org, _, rest = text.partition("/")
    repo, _, ref = rest.partition("/")
    return Spec(parse_repository(f"{org}/{repo}", github_url), ref or "HEAD")


def parse_repository(text: str, github_url: str = "https://github.com") -> str:
    """Return the `org/repo` of a name or a GitHub URL. Raises ResolveError."""
    if FULL_NAME.fullmatch(text) and not text.endswith(".git"):
        return text
    name = text.strip()
    host = re.sub(r"^https?://", "", github_url)
    name = re.sub(rf"^(https?://)?(www\.)?{re.escape(host)}/", "", name, flags=re.IGNORECASE)
    name = name.removesuffix("/").removesuffix(".git")
    if not FULL_NAME.fullmatch(name):
        raise ResolveError("bad_repository", f"Enter the repository as org/repo or {github_url}/org/repo.")
    return name


def parse_ref(text: str) -> Revision:
    """Return what a branch, tag or commit name can mean. Raises ResolveError."""
    if text == "HEAD":
        return Revision(text)
    if COMMIT.fullmatch(text):
        return Revision(text, commit=text.lower())
    if text.startswith("-") or not is_ref(f"refs/heads/{text}"):
        raise ResolveError(
            "bad_ref", "The ref is not a valid git name. Enter a branch, a tag, a commit or HEAD."
        )
    if text.startswith("refs/"):
        return Revision(text, refs=(text,))
    abbreviated = text.lower() if _ABBREVIATED.fullmatch(text) else None
    return Revision(
        text, refs=(f"refs/heads/{text}", f"refs/tags/{text}", f"refs/{text}"), abbreviated=abbreviated
    )


def single_commit(commits: Sequence[str], abbreviated: str) -> str | None:
    """Return the only commit of a list, or None if it is empty. Raises ResolveError if there are several."""
    if len(commits) > 1:
        raise ResolveError(
            "ambiguous_commit", f"Several commits start with {abbreviated}. Enter more digits of the commit."
        )
    return commits[0] if commits else None


def unknown_repository(full_name: str, reason: str = "") -> ResolveError:
    """Return the error for a repository that does not exist, or that the user may not see."""
    if reason:
        return ResolveError("unknown_repository", reason)
    if not is_at_github(full_name):
        return ResolveError("unknown_repository", f"Public repository {full_name} not found. Check the URL.")
    message = (
        f"Repository {full_name} not found on GitHub. Check the spelling; if it is private, ask an admin of this "
        "service for access."
    )
    return ResolveError("unknown_repository", message)
