"""Which repositories a service builds."""

import pytest

from webhook.access.allowed_repositories import check_allowed, refusal
from webhook.http.errors import HttpError
from webhook.settings import WebSettings


@pytest.mark.parametrize(
    ("name", "allowed", "banned", "expected"),
    [
        ("org/repo", (), (), None),
        ("Org/Repo", ("org/*",), (), None),
        ("org/repo", ("org/repo", "other/*"), (), None),
        ("orgs/repo", ("org/*",), (), "repository_not_allowed"),
        ("evil/org/repo", ("org/*",), (), "repository_not_allowed"),
        ("ORG/Spam", (), ("org/spam",), "repository_banned"),
        ("org/spam", ("org/*",), ("*/spam",), "repository_banned"),
        ("org/spammer", (), ("org/spam",), None),
    ],
)
def test_a_repository_is_built_if_it_is_allowed_and_not_banned(
    name: str, allowed: tuple[str, ...], banned: tuple[str, ...], expected: str | None
) -> None:
    settings = WebSettings(allowed_repositories=allowed, banned_repositories=banned)
    assert refusal(name, settings) == expected


def test_a_refusal_is_an_http_error_with_its_code() -> None:
    with pytest.raises(HttpError, match="does not build org/spam") as caught:
        check_allowed("org/spam", WebSettings(banned_repositories=("org/spam",)))
    assert (caught.value.status, caught.value.code) == (403, "repository_banned")
    check_allowed("org/ham", WebSettings(banned_repositories=("org/spam",)))
