"""The rules that say which pushes are built: skip markers, ref filters, allowed and banned repositories."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

# GitHub's own markers (its page "Skipping workflow runs") and ours, which skips the image alone.
_MARKERS = ("[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]", "[skip repo2hub]")
_SKIP_CHECKS = re.compile(r"skip-checks:\s*true\s*", re.IGNORECASE)


def skip_marker(message: str) -> str | None:
    """Return the marker in a commit message that asks for no build, or None.

    The `skip-checks: true` trailer counts only in the last paragraph, where git looks for trailers: GitHub
    asks for two empty lines before it, git's own cleaning of messages leaves one.
    """
    lowered = message.lower()
    for marker in _MARKERS:
        if marker in lowered:
            return marker
    *body, trailers = re.split(r"\n[^\S\n]*\n", message.strip())
    if body and any(_SKIP_CHECKS.fullmatch(line) for line in trailers.split("\n")):
        return "skip-checks: true"
    return None


def builds_ref(ref: str, filters: Iterable[str]) -> bool:
    """Tell whether a full ref (`refs/heads/main`) matches one of the filters; `*` also matches slashes."""
    return any(fnmatchcase(ref, pattern) for pattern in filters)


def refusal(full_name: str, *, allowed: Iterable[str], banned: Iterable[str]) -> str | None:
    """Return why this service does not serve a repository, or None.

    Patterns are `org/repo` globs in lower case, names are compared without regard to case, as GitHub does.
    A ban wins; with no allowed pattern all others are served.
    """
    name = full_name.lower()
    if any(fnmatchcase(name, pattern) for pattern in banned):
        return "repository_banned"
    patterns = tuple(allowed)
    if patterns and not any(fnmatchcase(name, pattern) for pattern in patterns):
        return "repository_not_allowed"
    return None
