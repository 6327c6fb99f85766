"""The names of the channels that reports go to: GitHub, and each address that is notified."""

import hashlib

GITHUB_STATUS = "github"
"""Commit statuses on GitHub."""


def notification_channel(url: str) -> str:
    """Return the channel of an address: a hash, because the address itself can be a secret."""
    return f"notify:{hashlib.sha256(url.encode()).hexdigest()[:12]}"
