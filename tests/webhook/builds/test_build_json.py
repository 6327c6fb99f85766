"""How a build is described: the duration of each part, and how its image is read."""

from datetime import UTC, datetime, timedelta

from db.database import Database
from db.models import Build
from db.status import Status
from tests.conftest import RECIPE
from tests.db.queue.test_claim_plan import plan_of
from webhook.builds.build_json import _images, durations

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def test_a_queued_build_has_only_waited() -> None:
    build = Build(status=Status.QUEUED, created_at=START)
    assert durations(build, at(5)) == {"waiting": 5, "total": 5}


def test_a_claimed_build_has_begun_no_phase() -> None:
    build = Build(status=Status.RUNNING, created_at=START, started_at=at(2))
    assert durations(build, at(3)) == {"waiting": 2, "total": 3}


def test_each_phase_lasts_until_the_next_and_the_last_until_the_end() -> None:
    build = Build(
        status=Status.SUCCEEDED,
        created_at=START,
        started_at=at(1),
        fetching_at=at(1),
        building_at=at(3),
        pushing_at=at(10),
        finished_at=at(12),
    )
    expected = {"waiting": 1, "fetching": 2, "building": 7, "pushing": 2, "total": 12}
    assert durations(build, at(99)) == expected


def test_the_images_of_a_page_are_read_by_indexes(database: Database) -> None:
    page = [
        Build(id=number, repository_id=1, commit=letter * 40, recipe=RECIPE, status=Status.SUCCEEDED)
        for number, letter in enumerate("abc")
    ]
    plan = plan_of(database, lambda session: _images(session, page))
    assert "SCAN image" not in plan and "SCAN build" not in plan, plan
