"""What the doctor says of reports that do not arrive."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from base.report_channels import GITHUB_STATUS
from base.settings import SharedSettings
from db.database import Database
from db.queue import enqueue, outbox
from db.queue.outbox import ReportLease
from db.records import repositories
from db.status import Trigger
from repo2hub.doctor.machine_checks import Level
from repo2hub.doctor.report_checks import check_reports
from tests.conftest import COMMIT, NOW, RECIPE

HOUR = timedelta(hours=1)


@pytest.fixture
def settings(database_url: str) -> SharedSettings:
    token = SecretStr("ghp_x")
    return SharedSettings(
        database_url=database_url, github_status_token=token, public_url="https://hub.example.org"
    )


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, channels=(GITHUB_STATUS,))
    yield database
    database.dispose()


@pytest.fixture
def push(database: Database) -> None:
    wish: Any = {"ref": "refs/heads/main", "commit": COMMIT, "recipe": RECIPE, "trigger": Trigger.PUSH}
    with database.write() as session:
        row = repositories.record(session, full_name="Org/Repo", webhook_active=True, now=NOW)
        enqueue.enqueue_entry(session, repository=row, now=NOW, **wish)


def fail(database: Database, error: str, *, for_good: bool) -> None:
    with database.write() as session:
        report = outbox.claim(session, GITHUB_STATUS, now=NOW)
        assert report is not None
        telling = ReportLease(report.id, report.tries)
        if for_good:
            outbox.give_up(session, telling, error, now=NOW)
        else:
            outbox.reschedule(session, telling, error, until=NOW + HOUR)


def test_where_nobody_is_told_there_is_nothing_to_say(settings: SharedSettings) -> None:
    assert check_reports(settings.model_copy(update={"github_status_token": None})) is None


def test_what_arrives_is_well(settings: SharedSettings, push: None) -> None:
    found = check_reports(settings, NOW)
    assert found is not None and found.level is Level.OK


def test_links_that_lead_nowhere_are_named(settings: SharedSettings) -> None:
    found = check_reports(settings.model_copy(update={"public_url": None}), NOW)
    assert found is not None and found.level is Level.WARNING
    assert found.fix == "export REPO2HUB_PUBLIC_URL=https://<your host>"


def test_what_was_given_up_is_told_with_its_reason_for_a_day(
    settings: SharedSettings, database: Database, push: None
) -> None:
    fail(database, "GitHub refuses (404): Not Found.", for_good=True)
    found = check_reports(settings, NOW + HOUR)
    assert found is not None and found.problem is not None and found.level is Level.WARNING
    assert "GitHub refuses (404)" in found.problem and "1 could not be told" in found.problem
    later = check_reports(settings, NOW + 30 * HOUR)
    assert later is not None and later.level is Level.OK


def test_what_waits_for_long_is_told_with_its_reason(
    settings: SharedSettings, database: Database, push: None
) -> None:
    found = check_reports(settings, NOW + HOUR)
    assert found is not None and found.problem is not None and "does a builder run" in found.problem
    fail(database, "it cannot be reached", for_good=False)
    found = check_reports(settings, NOW + HOUR)
    assert found is not None and found.problem is not None and "it cannot be reached" in found.problem


def test_a_database_that_is_not_made_yet_is_left_alone(tmp_path: Any) -> None:
    settings = SharedSettings(data_dir=tmp_path, github_status_token=SecretStr("ghp_x"))
    assert check_reports(settings) is None
    assert list(tmp_path.iterdir()) == []
