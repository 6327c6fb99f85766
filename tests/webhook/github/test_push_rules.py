"""The rules that decide which pushes are built."""

import pytest

from webhook.github.push_rules import builds_ref, skip_marker


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
def test_a_marker_in_the_message_skips_the_build(message: str, marker: str) -> None:
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
def test_a_ref_is_built_if_a_filter_matches_the_whole_ref(
    ref: str, filters: tuple[str, ...], expected: bool
) -> None:
    assert builds_ref(ref, filters) is expected
