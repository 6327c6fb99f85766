"""Add ended builds of a public repository, for tests of queries over the history."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from db.database import Database
from db.models import Build, Repository
from db.records import repositories
from db.status import Reason, Status, Trigger
from tests.conftest import NOW, RECIPE

MAIN = "refs/heads/main"
Ended = Callable[..., int]


@pytest.fixture
def repository(database: Database) -> Repository:
    """A repository that is known to be public."""
    with database.write() as session:
        return repositories.record(session, full_name="Org/Repo", provider_id=1, private=False, now=NOW)


@pytest.fixture
def ended(database: Database, repository: Repository) -> Ended:
    """Add an ended build with the given column values, and return its id."""
    count = iter(range(10_000))

    def write(of: Repository = repository, **values: object) -> int:
        number = next(count)
        row = {
            "repository_id": of.id,
            "ref": MAIN,
            "commit": f"{number:040x}",
            "recipe": RECIPE,
            "trigger": Trigger.PUSH,
            "priority": 20,
            "status": Status.SUCCEEDED,
            "run_after": NOW,
            "created_at": NOW,
            "started_at": NOW,
            "finished_at": NOW + timedelta(seconds=60),
            **values,
        }
        if row["status"] is not Status.SUCCEEDED:
            row.setdefault("reason", Reason.USER_ERROR)
        with database.write() as session:
            build = Build(**row)
            session.add(build)
            session.flush()
            return build.id

    return write
