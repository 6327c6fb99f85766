"""One attempt at one build, and a request that arrives while it ends."""

from pathlib import Path

from builder.attempt import Attempt
from builder.child_process import StopSignal
from builder.context import BuilderContext
from builder.errors import StopReason
from builder.settings import BuilderSettings
from db.database import Database
from db.models import Build
from db.queue import enqueue, transitions
from db.queue.enqueue import RequestFields
from db.records import builds, repositories
from db.records.logs import DatabaseLogStore
from db.status import EnqueueOutcome, Status, Trigger
from tests.conftest import COMMIT, NOW, RECIPE


def test_a_request_that_comes_when_its_build_was_stopped_to_be_cancelled_is_not_lost(
    database: Database, tmp_path: Path
) -> None:
    fields: RequestFields = {
        "ref": "refs/heads/main",
        "commit": COMMIT,
        "recipe": RECIPE,
        "trigger": Trigger.PUSH,
    }
    with database.write() as session:
        repository = repositories.record(session, full_name="Org/Repo", now=NOW)
        enqueue.enqueue_entry(session, repository=repository, now=NOW, **fields)
        running = transitions.claim(session, worker="w", now=NOW)
        assert running is not None and builds.get(session, running.id) is running  # with its repository
        transitions.cancel(session, running.id, by="alice", now=NOW)
    stop = StopSignal()
    stop.set(StopReason.CANCELLED)  # as the heartbeat does
    with database.write() as session:
        assert (
            enqueue.enqueue_entry(session, repository=repository, now=NOW, **fields).outcome
            is EnqueueOutcome.JOINED
        )
    context = BuilderContext.of(BuilderSettings(data_dir=tmp_path), {})
    Attempt(running, context, database, DatabaseLogStore(database), stop).run()
    context.workspaces.close()
    with database.read() as session:
        assert session.get_one(Build, running.id).status is Status.QUEUED
