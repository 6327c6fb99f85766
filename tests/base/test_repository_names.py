"""What a repository's name says about its provider."""

import pytest

from base.repository_names import GIT, GITHUB, name_key, provider_of

URL = "https://git.example.org/Group/Repo"


@pytest.mark.parametrize(
    ("full_name", "provider", "key"),
    [
        ("Org/Repo", GITHUB, "org/repo"),
        (URL, GIT, URL),
        ("https://h.org:8443/a/b", GIT, "https://h.org:8443/a/b"),
    ],
)
def test_a_name_says_which_provider_it_is_on(full_name: str, provider: str, key: str) -> None:
    assert provider_of(full_name) == provider
    assert name_key(full_name) == key
