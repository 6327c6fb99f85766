"""An image's name: legal in every registry, one for each repository, whatever GitHub lets people call theirs."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.image_names import image_name, is_in_registry, registry_host
from repo2hub_launcher.spawning import prepare_image
from tests.conftest import COMMIT, RECIPE

# distribution-spec, "Pulling manifests": <name> and <reference>.
COMPONENT = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
LEGAL = re.compile(rf"{COMPONENT}(/{COMPONENT})*:[a-zA-Z0-9_][a-zA-Z0-9._-]{{0,127}}")

OWNERS = st.from_regex(r"[A-Za-z0-9-]{1,39}", fullmatch=True)
NAMES = st.from_regex(r"[A-Za-z0-9._-]{1,100}", fullmatch=True)
REPOSITORIES = st.builds("{}/{}".format, OWNERS, NAMES)
ADDRESSES = st.from_regex(r"https://[a-z0-9.-]{1,60}(/[A-Za-z0-9_.~-]{1,40}){1,5}", fullmatch=True)
ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)


def name_of(repository: str, prefix: str = "repo2hub/") -> str:
    return image_name(repository, COMMIT, RECIPE, prefix=prefix)


@given(REPOSITORIES | ADDRESSES | ANYTHING)
def test_it_is_always_a_legal_reference(repository: str) -> None:
    name = name_of(repository)
    assert LEGAL.fullmatch(name)
    assert len(name.rpartition(":")[0]) <= 255


@given(REPOSITORIES | ADDRESSES | ANYTHING)
def test_the_engine_never_takes_a_part_of_it_for_a_registry(repository: str) -> None:
    # distribution/reference, splitDockerDomain: only what stands before a slash can be a registry.
    first, slash, _ = name_of(repository, prefix="r2h-").partition("/")
    assert not slash or ("." not in first and ":" not in first)


@given(REPOSITORIES, REPOSITORIES)
def test_two_repositories_never_share_a_name(one: str, other: str) -> None:
    assert (name_of(one) == name_of(other)) == (one.lower() == other.lower())


@given(ADDRESSES, ADDRESSES)
def test_two_addresses_never_share_a_name(one: str, other: str) -> None:
    assert (name_of(one) == name_of(other)) == (one == other)


@given(ADDRESSES, REPOSITORIES)
def test_an_address_never_has_the_name_of_a_repository_at_github(address: str, repository: str) -> None:
    assert name_of(address) != name_of(repository)


def test_an_address_can_be_read_in_the_name_of_its_image() -> None:
    assert name_of("https://gitlab.com/Group/Project").startswith(
        "repo2hub/git__elsewhere/gitlab-com-group-project__x"
    )


@pytest.mark.parametrize(
    "alike",
    [["a/b--c", "a/b-c"], ["a/b_", "a/b", "a/-b", "a/b-", "a/.b", "a/b."], ["a-/b", "a/b"], ["a/_", "a/."]],
)
def test_names_that_a_registry_would_not_tell_apart_differ(alike: list[str]) -> None:
    assert len({name_of(repository) for repository in alike}) == len(alike)


@given(REPOSITORIES)
def test_case_makes_no_difference(repository: str) -> None:
    assert name_of(repository.upper()) == name_of(repository.lower()) == name_of(repository)


def test_an_ordinary_name_reads_as_the_repository_does() -> None:
    registry = "https://registry.example:5000/"
    name = image_name("Jupyter/My.Repo_1", "c0ffee", "abc", prefix="hub/", registry=registry)
    assert name == "registry.example:5000/hub/jupyter/my.repo_1:c0ffee-abc"


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://r.example", "r.example"),
        ("http://127.0.0.1:5000/", "127.0.0.1:5000"),
        ("https://r.example/team/", "r.example/team"),
        ("r.example", "r.example"),
    ],
)
def test_a_registry_is_named_without_its_scheme(address: str, host: str) -> None:
    assert registry_host(address) == host


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("repo2hub/org/repo:tag", False),
        ("image:1", False),
        ("org/image", False),
        ("registry.example.org/repo2hub/org/repo:tag", True),
        ("registry:5000/org/repo:tag", True),
        ("localhost/org/repo:tag", True),
    ],
)
def test_a_name_tells_whether_a_registry_has_the_image(name: str, expected: bool) -> None:
    assert is_in_registry(name) is expected
    assert prepare_image.is_in_no_registry(name) is not expected  # as the launcher takes it, too
