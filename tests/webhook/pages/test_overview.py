"""The overview for admins: its figures, and the reports that were not delivered."""

from typing import Any

import pytest
from flask import Flask

from base.report_channels import GITHUB_STATUS
from db.database import Database
from db.queue import enqueue, outbox
from db.queue.outbox import ReportLease
from db.records import repositories
from db.status import Trigger
from tests.conftest import COMMIT, NOW, RECIPE
from webhook.app import create_app
from webhook.pages.overview import percentile
from webhook.settings import WebSettings


@pytest.fixture
def app(settings: WebSettings, database: Database) -> Flask:
    return create_app(settings, database)


def test_a_report_that_was_given_up_is_shown_with_its_reason(app: Flask, database_url: str) -> None:
    page = "/admin"
    assert "Undelivered reports" not in app.test_client().get(page).text
    database = Database(database_url, channels=(GITHUB_STATUS,))
    fields: Any = {"ref": "refs/heads/main", "commit": COMMIT, "recipe": RECIPE, "trigger": Trigger.PUSH}
    with database.write() as session:
        row = repositories.record(session, full_name="Org/Repo", webhook_active=True, now=NOW)
        queued = enqueue.enqueue_entry(session, repository=row, now=NOW, **fields)
        report = outbox.claim(session, GITHUB_STATUS, now=NOW)
        assert report is not None and queued.build is not None
        error = "GitHub refuses (404): <script>alert(1)</script>"
        outbox.give_up(session, ReportLease(report.id, report.tries), error, now=NOW)
    database.dispose()
    shown = app.test_client().get(page).text
    assert "Undelivered reports" in shown and "commit status on GitHub" in shown
    assert f"/builds/{queued.build.id}" in shown
    assert "GitHub refuses (404): &lt;script&gt;" in shown and "<script>alert" not in shown


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([], 95) is None
    assert [percentile([1, 2, 3, 4], of) for of in (25, 50, 95)] == [1, 2, 4]
