"""What the form of fancy-profiles, or anyone in its place, requests."""

from typing import Any

import pytest

from repo2hub_launcher.kubespawner import fancy_profiles
from repo2hub_launcher.kubespawner.fancy_profiles import BUILD_CHOICE, IMAGE_NAME_OPTION, RequestedImage
from repo2hub_launcher.spawning.user_options import Choice, InvalidOptions

OPTION: dict[str, Any] = {
    "dynamic_image_building": {"enabled": True},
    "unlisted_choice": {"enabled": True, "validation_regex": "^.+:.+$"},
    "choices": {"scipy": {}},
}
SENT = {
    "profile": "custom",
    "image": BUILD_CHOICE,
    IMAGE_NAME_OPTION: "repo2hub/org/repo:1",
    f"{IMAGE_NAME_OPTION}--repo": "Org/Repo",
    f"{IMAGE_NAME_OPTION}--ref": "feature/plots",
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_the_fields_of_the_form_are_parsed() -> None:
    assert fancy_profiles.parse_requested_image(SENT, OPTION) == RequestedImage(
        "repo2hub/org/repo:1", Choice("Org/Repo", "feature/plots")
    )


@pytest.mark.parametrize("text", ["https://github.com/org/repo", "github.com/org/repo/", " org/repo "])
def test_a_repository_can_be_an_address(text: str) -> None:
    requested = fancy_profiles.parse_requested_image({**SENT, f"{IMAGE_NAME_OPTION}--repo": text}, OPTION)
    assert requested is not None
    assert requested.choice == Choice("org/repo", "feature/plots")


def test_image_and_ref_are_optional() -> None:
    options = {"image": BUILD_CHOICE, f"{IMAGE_NAME_OPTION}--repo": "org/repo"}
    assert fancy_profiles.parse_requested_image(options, OPTION) == RequestedImage(
        None, Choice("org/repo", "HEAD")
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"image": "scipy"},
        {"image": "scipy", f"{IMAGE_NAME_OPTION}--repo": "org/repo"},
        {"profile": "custom"},
    ],
)
def test_a_listed_choice_is_left_to_kubespawner(options: dict[str, str]) -> None:
    assert fancy_profiles.parse_requested_image(options, OPTION) is None


@pytest.mark.parametrize(
    "option",
    [
        {},
        {"choices": {}},
        {**OPTION, "dynamic_image_building": {"enabled": False}},
        {**OPTION, "unlisted_choice": {}},
    ],
)
def test_an_option_that_builds_nothing_is_left_to_kubespawner(option: dict[str, Any]) -> None:
    assert fancy_profiles.parse_requested_image(SENT, option) is None


def test_with_an_image_by_name_the_repository_is_ignored() -> None:
    assert fancy_profiles.parse_requested_image(
        {**SENT, "image": "unlisted_choice"}, OPTION
    ) == RequestedImage("repo2hub/org/repo:1", None)
    assert fancy_profiles.parse_requested_image({IMAGE_NAME_OPTION: "a:1"}, OPTION) == RequestedImage(
        "a:1", None
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {f"{IMAGE_NAME_OPTION}--repo": "no repository"},
        {f"{IMAGE_NAME_OPTION}--repo": ["org/repo"]},
        {IMAGE_NAME_OPTION: {"a": 1}},
        {f"{IMAGE_NAME_OPTION}--ref": "a b"},
        {f"{IMAGE_NAME_OPTION}--repo": "", IMAGE_NAME_OPTION: ""},
    ],
)
def test_invalid_fields_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptions):
        fancy_profiles.parse_requested_image({**SENT, **wrong}, OPTION)


def test_validation_regex_is_applied_as_kubespawner_does() -> None:
    option = {"unlisted_choice": {"validation_regex": r"repo2hub/.+:.+"}}
    assert fancy_profiles.is_allowed(option, "repo2hub/org/repo:1")
    assert not fancy_profiles.is_allowed(option, "evil/repo2hub/org/repo:1")
    assert fancy_profiles.is_allowed({"unlisted_choice": {}}, "anything")


@pytest.mark.parametrize(
    ("image", "choice"),
    [
        (f"repo2hub/org/repo:{COMMIT}-5ca1ab1e0000", Choice("org/repo", COMMIT)),
        (f"registry.example.org:5000/a/b-org/repo:{COMMIT}-5ca1ab1e0000", Choice("b-org/repo", COMMIT)),
        (f"org/repo:{COMMIT}", None),
        (f"repo:{COMMIT}-5ca1ab1e0000", None),
        ("images.example.org/org/repo:latest", None),
    ],
)
def test_an_image_name_contains_its_commit(image: str, choice: Choice | None) -> None:
    assert fancy_profiles.parse_image_name(image) == choice
