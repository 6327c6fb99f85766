"""Constraints reject builds that violate the invariants, on both databases."""

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from db.database import Database
from db.models import Build, Repository
from db.status import (
    Status,
    Trigger,
)
from tests.conftest import COMMIT, NOW, RECIPE


def test_a_second_active_build_of_a_commit_violates_a_constraint(
    queued_build: Build, database: Database, repository: Repository
) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(
            Build(
                repository_id=repository.id,
                ref="",
                commit=COMMIT,
                recipe=RECIPE,
                trigger=Trigger.MANUAL,
                priority=10,
                status=Status.QUEUED,
                run_after=NOW,
                created_at=NOW,
            )
        )


@pytest.mark.parametrize(
    "values",
    [
        {"status": "succeeded"},
        {"finished_at": NOW},
        {"lease_expires_at": NOW},
        {"status": "running", "worker": "w"},
        {"status": "failed", "finished_at": NOW},
        {"reason": "user_error"},
        {"attempt": 4},
        {"attempt": -1},
        {"reason": "bored", "status": "failed", "finished_at": NOW},
        {"phase": "sleeping"},
        {"trigger": "unknown"},
    ],
)
def test_an_inconsistent_build_violates_a_constraint(
    queued_build: Build, database: Database, values: dict[str, object]
) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.execute(update(Build).where(Build.id == queued_build.id).values(**values))
