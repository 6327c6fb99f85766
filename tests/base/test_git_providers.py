"""The contract of `base.git_provider.GitProvider`, held against every implementation."""

from urllib.parse import urlsplit

import pytest

from base.git_provider import GitProvider
from base.git_providers import GitHub, GitServer, git_provider

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HOSTILE = "org/<a href='x'> ?#%"

PROVIDERS = [
    pytest.param(GitHub("https://github.example"), "Org/Repo", id="github"),
    pytest.param(GitHub("http://127.0.0.1:3000/git"), "Org/Repo", id="github-below-a-path"),
    pytest.param(GitServer(), "https://git.example.org:8443/Group/Sub/Repo", id="git-server"),
]


@pytest.mark.parametrize(("provider", "repository"), PROVIDERS)
def test_a_clone_url_is_on_the_server_and_names_the_repository(
    provider: GitProvider, repository: str
) -> None:
    url, server = provider.clone_url(repository), provider.server_url(repository)
    assert url.startswith(f"{server}/")
    assert url.endswith(repository.rpartition("/")[2])
    assert urlsplit(url)[:2] == urlsplit(server)[:2]


@pytest.mark.parametrize(("provider", "repository"), PROVIDERS)
def test_a_commits_page_is_on_the_server_or_unknown(provider: GitProvider, repository: str) -> None:
    page = provider.commit_url(repository, COMMIT)
    assert page is None or (page.startswith(provider.server_url(repository)) and COMMIT in page)


@pytest.mark.parametrize(("provider", "repository"), PROVIDERS)
def test_a_display_name_is_short_and_has_no_path(provider: GitProvider, repository: str) -> None:
    name = provider.display_name(repository)
    assert name and "/" not in name


def test_a_repositorys_name_decides_its_provider() -> None:
    github, server = (
        git_provider(name, "https://github.example") for name in ("Org/Repo", "https://h.org/a/b")
    )
    assert github.clone_url("Org/Repo") == "https://github.example/Org/Repo"
    assert github.commit_url("Org/Repo", COMMIT) == f"https://github.example/Org/Repo/commit/{COMMIT}"
    assert github.display_name("Org/Repo") == "GitHub"
    assert server.clone_url("https://h.org:8443/a/b") == "https://h.org:8443/a/b"
    assert server.server_url("https://h.org:8443/a/b") == "https://h.org:8443"
    assert server.display_name("https://h.org:8443/a/b") == "h.org:8443"


def test_the_token_is_for_github_alone() -> None:
    assert git_provider("Org/Repo", "https://github.example").takes_token
    assert not git_provider("https://github.example/Org/Repo", "https://github.example").takes_token


def test_a_hostile_name_stays_within_the_path() -> None:
    page = GitHub("https://github.example").commit_url(HOSTILE, COMMIT)
    assert page == f"https://github.example/org/%3Ca%20href%3D%27x%27%3E%20%3F%23%25/commit/{COMMIT}"
