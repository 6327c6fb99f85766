"""How many round trips to PostgreSQL a delivery takes: in each of them the rest of its group waits."""

from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from db.database import Database
from db.models import Build
from db.status import Priority
from tests.db.round_trips import RoundTrips, count_round_trips
from tests.webhook.conftest import Deliver
from tests.webhook.github.deliveries import EPOCH, push

LIMIT = 10
"""BEGIN; delivery, repository, ref head, build, image, older builds, outcome; COMMIT; NOTIFY."""


@pytest.fixture
def counted(postgresql_url: str) -> Iterator[RoundTrips]:
    with count_round_trips(postgresql_url) as counted:
        yield counted


@pytest.fixture
def database_url(counted: RoundTrips) -> str:
    return counted.url


def test_a_push_takes_few_round_trips(deliver: Deliver, database: Database, counted: RoundTrips) -> None:
    for number in range(12):  # until each statement is prepared
        deliver("push", push(f"{number + 1:040x}", f"{number:040x}", at=EPOCH + number))
    counted.count = 0
    assert deliver("push", push("c" * 40, f"{12:040x}", at=EPOCH + 12)).status_code == 202
    assert counted.count == LIMIT
    with database.read() as session:
        not_overtaken = select(func.count()).select_from(Build).where(Build.priority == Priority.PUSH)
        assert session.scalar(not_overtaken) == 1
