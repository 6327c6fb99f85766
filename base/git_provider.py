"""The seam for what differs between git hosting services: names, addresses, and whether our token is for them.

`base.git_providers` has the implementations. What needs a network or a database stays where it is used: commit
statuses in `builder.reports`, deliveries in `webhook.github`.
"""

from typing import Protocol


class GitProvider(Protocol):
    """One git hosting service. `repository` is the full name in our records: `org/name`, or a URL."""

    @property
    def takes_token(self) -> bool:
        """Whether REPO2HUB_GITHUB_TOKEN may be sent to it."""

    def display_name(self, repository: str) -> str:
        """Return what messages call the server of a repository."""

    def server_url(self, repository: str) -> str:
        """Return the URL of the server of a repository, without its path."""

    def clone_url(self, repository: str) -> str:
        """Return the URL that git fetches a repository from."""

    def commit_url(self, repository: str, commit: str) -> str | None:
        """Return the web page of a commit; None where the service has no known address for it."""
