"""What people write as a repository and a ref: what is understood, and what never reaches git."""

import pytest

from webhook.http.errors import ResolveError
from webhook.lookup.revision import parse_ref, parse_repository

BAD_REFS = ["", "-x", "--upload-pack=x", "a..b", "a b", "x\x00", "x\n", "x.lock", "a~1", "a^", "@{u}"]
BAD_REFS += ["a:b", "a*", "a?", "a[", "a\\b", "/a", "a/", "a//b", ".a", "x" * 250, "\ud800"]


@pytest.mark.parametrize("ref", BAD_REFS)
def test_an_invalid_ref_never_reaches_git(ref: str) -> None:
    with pytest.raises(ResolveError) as caught:
        parse_ref(ref)
    assert caught.value.code == "bad_ref"


BAD_REPOSITORIES = ["", "org", "-o/r", "org/..", "org/.", "org/r/x", "org/r?x", "org/\nr", "org/r r", "../r"]
BAD_REPOSITORIES += ["https://evil.example/org/r", "ext::sh -c id", "file:///etc/x", "org/.git", "a@b/c"]


@pytest.mark.parametrize("name", BAD_REPOSITORIES)
def test_an_invalid_repository_name_is_rejected(name: str) -> None:
    with pytest.raises(ResolveError) as caught:
        parse_repository(name)
    assert caught.value.code == "bad_repository"


@pytest.mark.parametrize(
    "text",
    [
        "Org/Repo",
        "https://github.com/Org/Repo",
        "github.com/Org/Repo.git",
        "https://www.GitHub.com/Org/Repo/",
    ],
)
def test_a_repository_can_be_given_as_a_url(text: str) -> None:
    assert parse_repository(text) == "Org/Repo"


def test_an_enterprise_server_has_its_own_urls() -> None:
    assert parse_repository("https://git.example.org/Org/Repo", "https://git.example.org") == "Org/Repo"
    with pytest.raises(ResolveError):
        parse_repository("https://github.com/Org/Repo", "https://git.example.org")
