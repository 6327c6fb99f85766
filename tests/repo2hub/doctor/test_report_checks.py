"""Reports that are not delivered."""

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
from repo2hub.doctor.finding import Level
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
    entry: Any = {"ref": "refs/heads/main", "commit": COMMIT, "recipe": RECIPE, "trigger": Trigger.PUSH}
    with database.write() as session:
        row = repositories.record(session, full_name="Org/Repo", webhook_active=True, now=NOW)
        enqueue.enqueue_entry(session, repository=row, now=NOW, **entry)


def fail(database: Database, error: str, *, permanently: bool) -> None:
    with database.write() as session:
        report = outbox.claim(session, GITHUB_STATUS, now=NOW)
        assert report is not None
        lease = ReportLease(report.id, report.tries)
        if permanently:
            outbox.give_up(session, lease, error, now=NOW)
        else:
            outbox.reschedule(session, lease, error, until=NOW + HOUR)


def test_without_reports_there_is_no_finding(settings: SharedSettings) -> None:
    assert check_reports(settings.model_copy(update={"github_status_token": None})) is None


def test_delivered_reports_are_ok(settings: SharedSettings, push: None) -> None:
    found = check_reports(settings, NOW)
    assert found is not None and found.level is Level.OK


def test_a_missing_public_url_is_a_warning(settings: SharedSettings) -> None:
    found = check_reports(settings.model_copy(update={"public_url": None}), NOW)
    assert found is not None and found.level is Level.WARNING
    assert found.fix == "export REPO2HUB_PUBLIC_URL=https://<your host>"


def test_failed_reports_of_the_last_day_are_reported_with_the_reason(
    settings: SharedSettings, database: Database, push: None
) -> None:
    fail(database, "GitHub refuses (404): Not Found.", permanently=True)
    found = check_reports(settings, NOW + HOUR)
    assert found is not None and found.problem is not None and found.level is Level.WARNING
    assert "GitHub refuses (404)" in found.problem and "1 could not be delivered" in found.problem
    later = check_reports(settings, NOW + 30 * HOUR)
    assert later is not None and later.level is Level.OK


def test_a_late_report_is_reported_with_the_reason(
    settings: SharedSettings, database: Database, push: None
) -> None:
    found = check_reports(settings, NOW + HOUR)
    assert found is not None and found.problem is not None and "no builder sends them" in found.problem
    fail(database, "it cannot be reached", permanently=False)
    found = check_reports(settings, NOW + HOUR)
    assert found is not None and found.problem is not None and "it cannot be reached" in found.problem


def test_a_database_that_does_not_exist_is_not_created(tmp_path: Any) -> None:
    settings = SharedSettings(data_dir=tmp_path, github_status_token=SecretStr("ghp_x"))
    assert check_reports(settings) is None
    assert list(tmp_path.iterdir()) == []
