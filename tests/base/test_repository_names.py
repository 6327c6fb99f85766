"""What a repository's name says about its server."""

import pytest

from base.repository_names import GIT, GITHUB, name_key, provider_of, repository_url, server_url

ADDRESS = "https://git.example.org/Group/Repo"


@pytest.mark.parametrize(
    ("full_name", "provider", "key", "url", "server"),
    [
        ("Org/Repo", GITHUB, "org/repo", "https://github.example/Org/Repo", "https://github.example"),
        (ADDRESS, GIT, ADDRESS, ADDRESS, "https://git.example.org"),
        (
            "https://h.org:8443/a/b",
            GIT,
            "https://h.org:8443/a/b",
            "https://h.org:8443/a/b",
            "https://h.org:8443",
        ),
    ],
)
def test_a_name_says_where_the_repository_is(
    full_name: str, provider: str, key: str, url: str, server: str
) -> None:
    assert provider_of(full_name) == provider
    assert name_key(full_name) == key
    assert repository_url("https://github.example", full_name) == url
    assert server_url("https://github.example", full_name) == server
