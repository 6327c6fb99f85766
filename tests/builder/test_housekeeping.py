"""Every builder removes what nobody needs any more, whatever it tells itself, on both databases."""

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from base.report_channels import GITHUB_STATUS
from builder.build import BuilderContext
from builder.settings import BuilderSettings
from builder.worker import Worker
from db.database import Database
from db.queue import enqueue, outbox, transitions
from db.records import repositories
from db.report_model import Report
from db.status import Trigger
from tests.conftest import COMMIT, NOW, RECIPE


def reports(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Report)) or 0


def test_a_builder_that_tells_nobody_removes_old_reports(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No engine, whatever the machine has. By TCP: a Unix socket with nobody behind it docker's client leaves open.
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    web = Database(database_url, channels=(GITHUB_STATUS,))
    with web.write() as session:
        known = repositories.record(
            session, full_name="Org/Repo", provider_id=1, webhook_active=True, now=NOW
        )
        wish = {"commit": COMMIT, "recipe": RECIPE, "trigger": Trigger.PUSH, "now": NOW}
        build = enqueue.enqueue(session, repository=known, ref="refs/heads/main", **wish).build  # type: ignore[arg-type]
        assert build is not None
        transitions.cancel(session, build.id, by=None, now=NOW)
        told = session.scalars(select(Report)).all()
        for report in told:
            report.settled_at, report.due_at, report.outcome = NOW - 2 * outbox.KEPT_FOR, None, "delivered"
    web.dispose()
    assert reports(database) == len(told) == 2
    tools, stop = BuilderContext.of(BuilderSettings(data_dir=tmp_path / "data"), {}), threading.Event()
    worker = threading.Thread(target=Worker(tools, database, stop).serve)
    worker.start()
    until = time.monotonic() + 60
    while reports(database) and time.monotonic() < until:
        time.sleep(0.05)
    stop.set()
    worker.join(timeout=60)
    tools.workspaces.close()
    assert reports(database) == 0
