"""The SQL condition for visible builds agrees with the permissions for every build and user."""

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

USERS = [
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
    """Builds of public, private and unknown repositories, requested by alice, by bob and by pushes."""
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


@pytest.mark.parametrize("user", USERS, ids=lambda user: str(user and (user.name or user.is_admin)))
def test_the_sql_condition_agrees_with_the_permissions(
    database: Database, all_builds: Sequence[Build], user: User | None
) -> None:
    with database.read() as session:
        listed = history.page_with_active(session, read_access(user), BuildFilter(), limit=100)
    visible = [build.id for build in all_builds if may_see_build(user, build)]
    assert [build.id for build in listed] == visible


def test_each_user_sees_other_builds(all_builds: Sequence[Build]) -> None:
    counts = [sum(may_see_build(user, build) for build in all_builds) for user in USERS]
    public, with_requested, everything = 15, 25, 45
    assert counts[:5] == [public, public, everything, with_requested, with_requested]
    assert public < counts[6] < counts[5] < everything
