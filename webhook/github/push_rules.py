"""Decide which pushes are built, by skip markers in the commit message and by ref filters. No I/O."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

# GitHub's markers from its page "Skipping workflow runs", and one that skips only the image build.
_MARKERS = ("[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]", "[skip repo2hub]")
_SKIP_CHECKS = re.compile(r"skip-checks:\s*true\s*", re.IGNORECASE)


def skip_marker(message: str) -> str | None:
    """Return the marker in a commit message that skips the build, or None.

    The trailer `skip-checks: true` counts only in the last paragraph, where git reads trailers. GitHub requires
    two empty lines before it, but git's cleanup of messages leaves one.
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
    """Return whether a full ref such as refs/heads/main matches one of the globs. `*` also matches slashes."""
    return any(fnmatchcase(ref, pattern) for pattern in filters)
