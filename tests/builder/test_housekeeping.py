"""Every builder removes outdated records, with or without channels of its own, on both databases."""

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from base.report_channels import GITHUB_STATUS
from builder.context import BuilderContext
from builder.settings import BuilderSettings
from builder.worker import Worker
from db.database import Database
from db.queue import enqueue, outbox, transitions
from db.queue.database_wake_up import database_wake_up
from db.records import repositories
from db.records.logs import DatabaseLogStore
from db.report_model import Report
from db.status import Trigger
from tests.conftest import COMMIT, NOW, RECIPE


def reports(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Report)) or 0


def test_a_builder_without_channels_removes_old_reports(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No engine, whatever the machine has. By TCP: a Unix socket with nobody behind it docker's client leaves open.
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    web = Database(database_url, channels=(GITHUB_STATUS,))
    with web.write() as session:
        known = repositories.record(
            session, full_name="Org/Repo", provider_id=1, webhook_active=True, now=NOW
        )
        fields = {"commit": COMMIT, "recipe": RECIPE, "trigger": Trigger.PUSH, "now": NOW}
        build = enqueue.enqueue(session, repository=known, ref="refs/heads/main", **fields).build  # type: ignore[arg-type]
        assert build is not None
        transitions.cancel(session, build.id, by=None, now=NOW)
        created = session.scalars(select(Report)).all()
        for report in created:
            report.settled_at, report.due_at, report.outcome = NOW - 2 * outbox.KEPT_FOR, None, "delivered"
    web.dispose()
    assert reports(database) == len(created) == 2
    context, stop = BuilderContext.of(BuilderSettings(data_dir=tmp_path / "data"), {}), threading.Event()
    log_store, wake_up = DatabaseLogStore(database), database_wake_up(database)
    worker = threading.Thread(target=Worker(context, database, log_store, wake_up, stop).serve)
    worker.start()
    until = time.monotonic() + 60
    while reports(database) and time.monotonic() < until:
        time.sleep(0.05)
    stop.set()
    worker.join(timeout=60)
    wake_up.close()
    context.workspaces.close()
    assert reports(database) == 0
