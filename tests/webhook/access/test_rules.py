"""Which pushes are built."""

import pytest

from webhook.access.build_rules import builds_ref, refusal, skip_marker


@pytest.mark.parametrize(
    ("message", "marker"),
    [
        ("Fix a typo [skip ci]", "[skip ci]"),
        ("[ci skip] Fix a typo", "[ci skip]"),
        ("Fix\n\nlonger text\n[no ci]", "[no ci]"),
        ("Fix [skip actions]", "[skip actions]"),
        ("Fix [actions skip]", "[actions skip]"),
        ("Fix [skip repo2hub]", "[skip repo2hub]"),
        ("Fix [SKIP CI]", "[skip ci]"),
        ("Fix\n\n\nskip-checks: true", "skip-checks: true"),
        ("Fix\n\n\nskip-checks:true\n", "skip-checks: true"),
        ("Fix\r\n\r\n\r\nSigned-off-by: A <a@example.org>\r\nskip-checks: true\r\n", "skip-checks: true"),
        ("Fix\n\nSigned-off-by: A <a@example.org>\nSkip-Checks: TRUE", "skip-checks: true"),
    ],
)
def test_a_marker_in_the_message_asks_for_no_build(message: str, marker: str) -> None:
    assert skip_marker(message) == marker


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Fix a typo",
        "skip ci",
        "Explain how to [skip  ci]",
        "skip-checks: true",
        "Fix\nskip-checks: true",
        "Fix\n\nskip-checks: true\n\nand more",
        "Fix\n\nskip-checks: false",
        "Fix\n\nwe skip-checks: true or not",
    ],
)
def test_other_messages_are_built(message: str) -> None:
    assert skip_marker(message) is None


@pytest.mark.parametrize(
    ("ref", "filters", "expected"),
    [
        ("refs/heads/main", ("refs/heads/*", "refs/tags/*"), True),
        ("refs/heads/feature/deep/name", ("refs/heads/*",), True),
        ("refs/tags/v1.0", ("refs/heads/*",), False),
        ("refs/tags/v1.0", ("refs/heads/main", "refs/tags/v*"), True),
        ("refs/heads/Main", ("refs/heads/main",), False),
        ("refs/heads/mainline", ("refs/heads/main",), False),
        ("refs/heads/main", (), False),
    ],
)
def test_a_ref_is_built_if_a_filter_matches_it_whole(
    ref: str, filters: tuple[str, ...], expected: bool
) -> None:
    assert builds_ref(ref, filters) is expected


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
def test_a_repository_is_served_if_allowed_and_not_banned(
    name: str, allowed: tuple[str, ...], banned: tuple[str, ...], expected: str | None
) -> None:
    assert refusal(name, allowed=allowed, banned=banned) == expected
