"""Whose eyes a list is for: the condition in SQL says of every build what the rule says of it."""

from collections.abc import Sequence
from itertools import product

import pytest

from db.database import Database
from db.models import Build
from db.queries import history
from db.queries.history import BuildFilter
from db.queries.visibility import UNRESTRICTED
from db.queue import enqueue
from db.records import repositories
from db.status import Trigger
from tests.conftest import NOW, RECIPE
from webhook.access.permissions import ANONYMOUS, LOCAL_USER, User, may_see_build, read_access

PEOPLE = [
    None,
    ANONYMOUS,
    LOCAL_USER,
    User("alice", is_admin=False),
    User("bob", is_admin=False),
    User("carol", is_admin=False, repositories=("org/*",)),
    User("dora", is_admin=False, repositories=("org/one_repo", "else/*s*t")),
    User("erin", is_admin=True),
]


@pytest.fixture
def all_builds(database: Database) -> Sequence[Build]:
    """Builds of public, private and unknown repositories, asked for by alice, bob and nobody."""
    names = ("Org/one_repo", "org/oneXrepo", "else/secret", "org/per%cent", "Else/other")
    with database.write() as session:
        for number, (name, private) in enumerate(product(names, (True, False, None))):
            full_name = f"{name}{'' if private else number}"
            repository = repositories.record(session, full_name=full_name, private=private, now=NOW)
            for letter, by in zip("abc", ("alice", "bob", None), strict=True):
                enqueue.enqueue(
                    session,
                    repository=repository,
                    ref="refs/heads/main",
                    commit=f"{letter}{number:039x}",
                    recipe=RECIPE,
                    trigger=Trigger.MANUAL,
                    requested_by=by,
                    now=NOW,
                )
    with database.read() as session:
        found = history.page_with_active(session, UNRESTRICTED, BuildFilter(), limit=100)
    assert len(found) == 45
    return found


@pytest.mark.parametrize(
    "person", PEOPLE, ids=lambda person: str(person and (person.name or person.is_admin))
)
def test_the_condition_and_the_rule_agree(
    database: Database, all_builds: Sequence[Build], person: User | None
) -> None:
    with database.read() as session:
        listed = history.page_with_active(session, read_access(person), BuildFilter(), limit=100)
    shown = [build.id for build in all_builds if may_see_build(person, build)]
    assert [build.id for build in listed] == shown


def test_each_person_sees_something_else(all_builds: Sequence[Build]) -> None:
    seen = [sum(may_see_build(person, build) for build in all_builds) for person in PEOPLE]
    public, asked_for, everything = 15, 25, 45
    assert seen[:5] == [public, public, everything, asked_for, asked_for]
    assert public < seen[6] < seen[5] < everything
