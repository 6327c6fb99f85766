"""Who may see and change what: every combination of who asks and what is known of a repository."""

import pytest

from db.models import Build, Repository
from webhook.access.permissions import (
    ANONYMOUS,
    API_TOKEN_USER,
    LOCAL_USER,
    User,
    may_change,
    may_see,
    may_see_build,
)

ADA = User("ada", is_admin=False, repositories=("org/open-*",))
BOB = User("bob", is_admin=False)


def repository(name: str = "Org/Repo", *, private: bool = False, known: bool = True) -> Repository:
    return Repository(full_name=name, private=private, private_known=known)


def build(of: Repository, by: str | None = None) -> Build:
    return Build(repository=of, requested_by=by)


@pytest.mark.parametrize("person", [None, ANONYMOUS, BOB, ADA])
def test_only_public_repositories_are_visible_to_everyone(person: User | None) -> None:
    assert may_see(person, repository())
    assert not may_see(person, repository(private=True))
    assert not may_see(person, repository(known=False)), "it may be private: nobody has told yet"
    assert not may_see(person, repository(private=True, known=False))


@pytest.mark.parametrize("person", [LOCAL_USER, API_TOKEN_USER, User("eve", is_admin=True)])
def test_admins_see_and_change_everything(person: User) -> None:
    secret = repository(private=True)
    assert (
        may_see(person, secret) and may_see_build(person, build(secret)) and may_change(person, build(secret))
    )


def test_groups_give_access_regardless_of_case() -> None:
    assert may_see(ADA, repository("Org/Open-Data", private=True))
    assert not may_see(ADA, repository("Org/Closed", private=True))
    assert not may_see(ADA, repository("Other/Org/Open-Data", private=True))


def test_the_requester_can_see_and_change_their_build() -> None:
    mine = build(repository(private=True), by="bob")
    assert may_see_build(BOB, mine) and may_change(BOB, mine)
    for other in (None, ANONYMOUS, ADA):
        assert not may_see_build(other, mine) and not may_change(other, mine)


def test_a_build_without_a_requester_belongs_to_nobody() -> None:
    pushed = build(repository(private=True))
    assert not may_see_build(ANONYMOUS, pushed) and not may_change(ANONYMOUS, pushed)
