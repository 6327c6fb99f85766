"""The names that git and GitHub accept: repositories, refs, commits. Pure."""

import re

FULL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}/(?!\.{1,2}$)[A-Za-z0-9_.-]{1,100}")
"""`org/repo`, as GitHub allows it."""
COMMIT = re.compile(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")
"""A full commit hash, SHA-1 or SHA-256."""

# What git-check-ref-format(1) forbids, as one pattern.
_FORBIDDEN_IN_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]|\.\.|@\{|//|/\.|\.lock(/|$)|[./]$")
_MAX_REF_BYTES = 255  # git stores a ref as a file, and GitHub rejects longer names


def is_ref(ref: str) -> bool:
    """Return whether git accepts a full ref name such as `refs/heads/main`."""
    if len(ref.encode("utf-8", "surrogatepass")) > _MAX_REF_BYTES:
        return False
    return ref.startswith("refs/") and _FORBIDDEN_IN_REF.search(ref) is None
