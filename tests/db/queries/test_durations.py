"""The durations of builds, on both databases."""

from datetime import timedelta

from db.database import Database
from db.models import Repository
from db.queries import durations
from db.status import Status
from tests.conftest import NOW
from tests.db.queries.ended_builds import Ended, ended, repository

__all__ = ["ended", "repository"]


def test_the_expected_duration_is_the_median_of_successful_builds(
    database: Database, repository: Repository, ended: Ended
) -> None:
    def expected() -> timedelta | None:
        with database.read() as session:
            return durations.expected_duration(session, repository.id)

    assert expected() is None
    for seconds in (10, 500, 20):
        ended(finished_at=NOW + timedelta(seconds=seconds))
    ended(status=Status.FAILED, finished_at=NOW + timedelta(seconds=1))
    assert expected() == timedelta(seconds=20)


def test_the_last_successful_build_before_a_build_is_found(
    database: Database, repository: Repository, ended: Ended
) -> None:
    successful, failed, later = ended(), ended(status=Status.FAILED), ended()
    with database.read() as session:
        before = durations.last_successful(session, repository.id, below=failed)
        assert before is not None and before.id == successful
        assert durations.last_successful(session, repository.id, below=successful) is None
        newest = durations.last_successful(session, repository.id)
        assert newest is not None and newest.id == later
