"""What a person wrote, `org/repo` at `ref`, and what it may mean. Pure.

The rule, in this order: 40 (or 64) hexadecimal digits are that commit. `HEAD` is the default branch. A name
that begins with `refs/` is that ref. Any other name is a branch, else a tag, else what follows `refs/`
(`heads/x`, `tags/x`, `pull/7/head`), else 7 or more hexadecimal digits are the one known commit that begins so.
A branch goes before a tag of the same name, as in GitHub's own addresses; git itself would take the tag.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from base.repository_names import is_at_github
from webhook.github.payload import is_ref

_FULL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}/(?!\.{1,2}$)[A-Za-z0-9_.-]{1,100}")
_COMMIT = re.compile(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")
_ABBREVIATED = re.compile(r"[0-9a-fA-F]{7,63}")


class ResolveError(Exception):
    """There is no commit to give; `code` is for programs, the text says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Revision:
    """What a name may mean: one commit, or the first that exists of some full refs, or HEAD (no refs)."""

    text: str
    commit: str | None = None
    refs: tuple[str, ...] = ()
    abbreviated: str | None = None

    def recorded_as(self, default_branch: str | None) -> tuple[str, ...]:
        """Return the full refs under which builds of it may be recorded, the likeliest first."""
        return (f"refs/heads/{default_branch}", "HEAD") if self.text == "HEAD" else self.refs

    @property
    def pull_request(self) -> str | None:
        """The pull request's ref that is meant, if one is: asking for all would make GitHub's list far longer."""
        last = self.refs[-1] if self.refs else ""
        return last if re.fullmatch(r"refs/pull/\d+/(head|merge)", last) else None


def unknown_repository(full_name: str, why: str = "") -> ResolveError:
    """Return the answer for a repository that is not there, or not for whoever asks; `why` may say more."""
    if why:
        return ResolveError("unknown_repository", why)
    if not is_at_github(full_name):
        return ResolveError(
            "unknown_repository", f"There is no public repository {full_name}. Check the address."
        )
    message = (
        f"GitHub shows no repository {full_name}. Check how it is spelt; if it is private, ask an admin of this "
        "service to let you use it."
    )
    return ResolveError("unknown_repository", message)


def parse_repository(text: str, github_url: str = "https://github.com") -> str:
    """Return the `org/name` that a name or an address stands for. Raises ResolveError."""
    if _FULL_NAME.fullmatch(text) and not text.endswith(".git"):
        return text
    name = text.strip()
    host = re.sub(r"^https?://", "", github_url)
    name = re.sub(rf"^(https?://)?(www\.)?{re.escape(host)}/", "", name, flags=re.IGNORECASE)
    name = name.removesuffix("/").removesuffix(".git")
    if not _FULL_NAME.fullmatch(name):
        raise ResolveError("bad_repository", f"Write the repository as org/repo or {github_url}/org/repo.")
    return name


def parse_ref(text: str) -> Revision:
    """Return what a branch, tag or commit name may mean. Raises ResolveError."""
    if text == "HEAD":
        return Revision(text)
    if _COMMIT.fullmatch(text):
        return Revision(text, commit=text.lower())
    if text.startswith("-") or not is_ref(f"refs/heads/{text}"):
        raise ResolveError(
            "bad_ref", "That is no name git would accept. Write a branch, a tag, a commit, or HEAD."
        )
    if text.startswith("refs/"):
        return Revision(text, refs=(text,))
    abbreviated = text.lower() if _ABBREVIATED.fullmatch(text) else None
    return Revision(
        text, refs=(f"refs/heads/{text}", f"refs/tags/{text}", f"refs/{text}"), abbreviated=abbreviated
    )


def single_commit(commits: Sequence[str], abbreviated: str) -> str | None:
    """Return the one commit that begins so, None for none. Raises ResolveError for several."""
    if len(commits) > 1:
        raise ResolveError(
            "ambiguous_commit", f"Several commits begin with {abbreviated}. Write more digits."
        )
    return commits[0] if commits else None
