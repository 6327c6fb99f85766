"""The names of those who are told of a build: GitHub, and each address that gets notifications."""

import hashlib

GITHUB_STATUS = "github"
"""The status on the commit."""


def notification_channel(url: str) -> str:
    """Return the name of an address. The address itself is not written down: it can be a secret."""
    return f"notify:{hashlib.sha256(url.encode()).hexdigest()[:12]}"
