"""User options from the form and from the API, where anyone can send anything."""

from typing import Any

import pytest

from repo2hub_launcher.settings import Resources, Settings
from repo2hub_launcher.spawning import user_options
from repo2hub_launcher.spawning.user_options import Choice, InvalidOptions

COMMIT = "0123456789abcdef0123456789abcdef01234567"

SETTINGS = Settings(
    service_url="http://127.0.0.1:8585/",
    fixed_images={"Data science": "data-science:1"},
    resources={"Small": Resources(2**30, 0.5), "Large": Resources(None, 4.0)},
)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"choice": ["fixed:Data science"]}, {"fixed": "Data science"}),
        ({"choice": ["build"], "repo": ["a/b"], "ref": [""]}, {"repo": "a/b"}),
        (
            {"choice": ["build"], "repo": ["a/b"], "ref": ["x"], "commit": [COMMIT], "resources": ["Small"]},
            {"repo": "a/b", "ref": "x", "commit": COMMIT, "resources": "Small"},
        ),
        (
            {"choice": ['ready:{"repo": "a/b", "ref": "x", "commit": "c"}'], "repo": ["not/this"]},
            {"repo": "a/b", "ref": "x", "commit": "c"},
        ),
        (
            {"choice": ['ready:{"repo": "a/b", "ref": "", "commit": "c"}']},
            {"repo": "a/b", "ref": "c", "commit": "c"},
        ),
    ],
)
def test_a_form_becomes_user_options(sent: dict[str, list[Any]], expected: dict[str, str]) -> None:
    assert user_options.options_from_form(sent) == expected


@pytest.mark.parametrize(
    "choice", ["", "image:x", "ready:", "ready:[1]", "ready:{}", "ready:" + "[" * 100_000]
)
def test_a_form_without_a_valid_choice_is_refused(choice: str) -> None:
    with pytest.raises(InvalidOptions):
        user_options.options_from_form({"choice": [choice]})


def test_no_form_can_name_an_image() -> None:
    sent = {"choice": ["build"], "repo": ["a/b"], "image": ["evil:1"], "fixed": ["evil:1"]}
    assert user_options.options_from_form(sent) == {"repo": "a/b"}


@pytest.mark.parametrize(
    ("options", "choice"),
    [
        ({"repo": "Org/repo"}, Choice("Org/repo", "HEAD", resources="Small")),
        (
            {"repo": " https://github.com/Org/repo.git/ ", "ref": " a/b "},
            Choice("Org/repo", "a/b", resources="Small"),
        ),
        ({"repo": "github.com/Org/repo"}, Choice("Org/repo", resources="Small")),
        ({"repo": "ada_company/repo"}, Choice("ada_company/repo", resources="Small")),
        (
            {"repo": "o/r", "ref": "v1", "commit": COMMIT, "resources": "Large"},
            Choice("o/r", "v1", COMMIT, resources="Large"),
        ),
        ({"fixed": "Data science"}, Choice(fixed="Data science", resources="Small")),
    ],
)
def test_user_options_become_a_choice(options: dict[str, Any], choice: Choice) -> None:
    assert user_options.parse_options(options, SETTINGS) == choice


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Choose an image"),
        ({"image": "evil:1"}, "Unknown option: image"),
        ({"repo": "a/b", "image": "evil:1"}, "Unknown option: image"),
        ({"repo": ["a/b"]}, "must be a string"),
        ({"repo": "a/b", "fixed": "Data science"}, "not both"),
        ({"fixed": "evil:1"}, "no longer offers this image"),
        ({"repo": "a/b", "resources": "Huge"}, "no longer offers this size"),
        ({"repo": "a/b", "commit": "main"}, "40 hexadecimal"),
        ({"repo": "a"}, "org/repo"),
        ({"repo": "a/.."}, "org/repo"),
        ({"repo": "a/b/c"}, "org/repo"),
        ({"repo": "a/b?x"}, "org/repo"),
        ({"repo": "https://[/a/b"}, "org/repo"),
        ({"repo": "https://gitlab.example/a/b"}, "org/repo"),
        ({"repo": "a/b", "ref": "a b"}, "branch"),
        ({"repo": "a/b", "ref": "a\x1b[2J"}, "branch"),
        ({"repo": "a/b", "ref": "a" * 301}, "branch"),
    ],
)
def test_invalid_options_are_refused_with_a_message(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOptions, match=message):
        user_options.parse_options(options, SETTINGS)


def test_without_sizes_none_is_chosen() -> None:
    plain = Settings(service_url="http://127.0.0.1:8585/")
    assert user_options.parse_options({"repo": "a/b", "resources": "Small"}, plain).resources is None
