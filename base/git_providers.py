"""The git hosting services that this release knows: GitHub, and any other server by its URL."""

from urllib.parse import quote, urlsplit

from base.git_provider import GitProvider
from base.repository_names import is_at_github


def git_provider(repository: str, github_url: str) -> GitProvider:
    """Return the provider of a repository by its full name: `org/name` is on GitHub, a URL on another server."""
    return GitHub(github_url) if is_at_github(repository) else GitServer()


class GitHub:
    """github.com or a GitHub Enterprise Server."""

    takes_token = True

    def __init__(self, url: str) -> None:
        self._url = url

    def display_name(self, repository: str) -> str:
        return "GitHub"

    def server_url(self, repository: str) -> str:
        return self._url

    def clone_url(self, repository: str) -> str:
        return f"{self._url}/{repository}"

    def commit_url(self, repository: str, commit: str) -> str | None:
        return f"{self._url}/{quote(repository)}/commit/{quote(commit)}"


class GitServer:
    """Any server that git reads public repositories from over HTTP; a repository's full name is its URL."""

    takes_token = False

    def display_name(self, repository: str) -> str:
        return urlsplit(repository).netloc

    def server_url(self, repository: str) -> str:
        url = urlsplit(repository)
        return f"{url.scheme}://{url.netloc}"

    def clone_url(self, repository: str) -> str:
        return repository

    def commit_url(self, repository: str, commit: str) -> str | None:
        return None
