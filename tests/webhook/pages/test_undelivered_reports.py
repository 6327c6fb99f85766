"""The admins' overview shows what could not be told, with its reason as text."""

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
from webhook.settings import WebSettings


@pytest.fixture
def app(settings: WebSettings, database: Database) -> Flask:
    return create_app(settings, database)


def test_what_was_given_up_is_on_the_overview(app: Flask, database_url: str) -> None:
    page = "/admin"
    assert "did not arrive" not in app.test_client().get(page).text
    database = Database(database_url, channels=(GITHUB_STATUS,))
    wish: Any = {"ref": "refs/heads/main", "commit": COMMIT, "recipe": RECIPE, "trigger": Trigger.PUSH}
    with database.write() as session:
        row = repositories.record(session, full_name="Org/Repo", webhook_active=True, now=NOW)
        placed = enqueue.enqueue_entry(session, repository=row, now=NOW, **wish)
        report = outbox.claim(session, GITHUB_STATUS, now=NOW)
        assert report is not None and placed.build is not None
        error = "GitHub refuses (404): <script>alert(1)</script>"
        outbox.give_up(session, ReportLease(report.id, report.tries), error, now=NOW)
    database.dispose()
    shown = app.test_client().get(page).text
    assert "Undelivered reports" in shown and "commit status on GitHub" in shown
    assert f"/builds/{placed.build.id}" in shown
    assert "GitHub refuses (404): &lt;script&gt;" in shown and "<script>alert" not in shown
