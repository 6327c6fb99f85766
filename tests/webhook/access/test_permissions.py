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
def test_what_is_public_is_for_all_and_nothing_else_is(person: User | None) -> None:
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


def test_a_group_opens_the_repositories_that_it_names_in_any_case() -> None:
    assert may_see(ADA, repository("Org/Open-Data", private=True))
    assert not may_see(ADA, repository("Org/Closed", private=True))
    assert not may_see(ADA, repository("Other/Org/Open-Data", private=True))


def test_who_asked_for_a_build_sees_it_and_may_stop_it_and_nobody_else_may() -> None:
    mine = build(repository(private=True), by="bob")
    assert may_see_build(BOB, mine) and may_change(BOB, mine)
    for other in (None, ANONYMOUS, ADA):
        assert not may_see_build(other, mine) and not may_change(other, mine)


def test_a_build_that_nobody_asked_for_is_not_everybodys() -> None:
    pushed = build(repository(private=True))
    assert not may_see_build(ANONYMOUS, pushed) and not may_change(ANONYMOUS, pushed)
