"""Where a login may lead: to our own pages, whatever a link says. The login itself is in tests/acceptance."""

from typing import Any

import pytest

from webhook.access.hub.login import Login

NO_HUB: Any = None  # it is not asked


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "https://evil.example/",
        "/..//evil.example/",
        "/%2e%2e/hub/logout",
        "/builds/\n1",
        "/logout",
        "/login",
        "/oauth_callback",
        "/" + "a" * 2000,
        "",
    ],
)
def test_a_login_at_the_root_path_returns_to_our_pages_only(path: str) -> None:
    assert Login(NO_HUB, "/", "token").safe_next_path(path) == "/"


@pytest.mark.parametrize("path", ["/", "/builds/1", "/?repository=org/repo&q=a+b", "/gh/org/repo"])
def test_a_login_returns_to_the_requested_page(path: str) -> None:
    assert Login(NO_HUB, "/", "token").safe_next_path(path) == path
