"""The functions that test_concurrency.py runs, each in its own process with its own Database."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

from sqlalchemy.orm import Session

from db import migrate
from db.database import Database
from db.models import Build, Repository
from db.queue import supersede, transitions
from db.queue.enqueue import Enqueued
from db.queue.enqueue import enqueue as enqueue_build
from db.queue.transitions import BuildResult
from db.records import deliveries, images, logs, refs, repositories
from db.status import EnqueueOutcome, Lease, Reason, Status, Trigger
from tests.conftest import NOW, RECIPE

LATER = NOW + timedelta(hours=1)

_start: Barrier


def set_barrier(barrier: Barrier) -> None:
    """Set the barrier at which each function waits before its first statement."""
    global _start  # noqa: PLW0603 -- a barrier can be passed to a process only when it starts
    _start = barrier


@contextmanager
def _database(url: str) -> Iterator[Database]:
    database = Database(url)
    with database.read() as session:  # connect before the barrier
        session.connection()
    _start.wait(timeout=60)
    yield database
    database.dispose()


def _enqueue(session: Session, commit: str, **request: object) -> Enqueued:
    repository = repositories.find(session, "gh", "org/repo")
    values: dict[str, object] = {"ref": "refs/heads/main", "trigger": Trigger.PUSH, "now": NOW, **request}
    return enqueue_build(session, repository=repository, commit=commit, recipe=RECIPE, **values)  # type: ignore[arg-type]


def enqueue(url: str, commits: list[str]) -> list[tuple[EnqueueOutcome, int]]:
    results = []
    with _database(url) as database:
        for commit in commits:
            with database.write() as session:
                result = _enqueue(session, commit)
            assert result.build is not None
            results.append((result.outcome, result.build.id))
    return results


def drain(url: str, worker: str) -> list[int]:
    """Claim and finish builds until the queue is empty, and return the claimed ids."""
    claimed: list[int] = []
    with _database(url) as database:
        while True:
            with database.write() as session:
                build = transitions.claim(session, worker=worker, now=NOW)
            if build is None:
                return claimed
            assert build.worker == worker
            claimed.append(build.id)
            with database.write() as session:
                assert transitions.finish(session, Lease(build.id, 1), BuildResult(Status.SUCCEEDED), now=NOW)


def deliver(url: str, guids: list[str]) -> list[str]:
    """Handle deliveries as the receiver does, and return the new ones."""
    new = []
    with _database(url) as database:
        for number, guid in enumerate(guids):
            with database.write() as session:
                if deliveries.record(session, guid=guid, event="push", action=None, now=NOW):
                    build = _enqueue(session, f"{number:040x}").build
                    deliveries.record_outcome(
                        session, guid, outcome="queued", build_id=build.id if build else None
                    )
                    new.append(guid)
    return new


def reap(url: str) -> list[tuple[int, Status]]:
    with _database(url) as database, database.write() as session:
        return transitions.reap(session, now=LATER)


def record_repository(url: str, name: str, provider_id: int | None) -> int:
    with _database(url) as database, database.write() as session:
        return repositories.record(session, full_name=name, provider_id=provider_id, now=NOW).id


def append(url: str, lease: Lease, count: int) -> list[bool]:
    """Append the same chunks as the other processes, a few at a time."""
    held = []
    with _database(url) as database:
        for first in range(1, count, 5):
            texts = [f"line {number}\n" for number in range(first, first + 5)]
            with database.write() as session:
                held.append(logs.append(session, lease, first_seq=first, texts=texts, now=NOW))
    return held


def upgrade(url: str) -> bool:
    """Migrate an empty database, and return whether it is current."""
    database = Database(url)
    _start.wait(timeout=60)
    migrate.upgrade(database)
    current = migrate.is_current(database)
    database.dispose()
    return current


def claim_and_hang(url: str, ready: Connection, commit: bool) -> None:
    """Claim a build, send its id, and hang: after the commit, or without `commit` inside the transaction."""
    database = Database(url)
    with database.write() as session:
        build = transitions.claim(session, worker="killed", now=NOW)
        if not commit:
            ready.send(build and build.id)
            time.sleep(600)
    ready.send(build and build.id)
    time.sleep(600)


class RandomOperations:
    """Random operations of web processes and builders on few commits and refs, so that they conflict."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database = database
        self.random = random.Random(seed)
        self.lease = Lease(0, 0)
        self.steps = [
            self.push, self.push, self.launch, self.claim, self.claim, self.heartbeat, self.log,
            self.finish, self.requeue, self.cancel, self.reap, self.delete_ref, self.delete_repository,
        ]  # fmt: skip

    def step(self) -> None:
        with self.database.write() as session:
            self.random.choice(self.steps)(session)

    def repository(self, session: Session) -> Repository:
        return repositories.record(
            session, full_name="Org/Repo", provider_id=1, default_branch="main", webhook_active=True, now=NOW
        )

    def ref(self) -> str:
        return self.random.choice(["refs/heads/main", "refs/heads/dev"])

    def commit(self) -> str:
        return self.random.choice("abcdef") * 40

    def push(self, session: Session) -> None:
        repository, ref, commit = self.repository(session), self.ref(), self.commit()
        refs.record_push(session, repository, ref=ref, commit=commit, before=None, pushed_at=NOW, now=NOW)
        build = _enqueue(session, commit, ref=ref, pushed_at=NOW).build
        if build is not None:
            supersede.supersede(session, build, cancel=self.random.random() < 0.3, now=NOW)

    def launch(self, session: Session) -> None:
        force = self.random.random() < 0.3
        _enqueue(session, self.commit(), ref=self.ref(), trigger=Trigger.LAUNCH, force=force)

    def claim(self, session: Session) -> None:
        build = transitions.claim(
            session, worker="w", now=LATER - timedelta(minutes=self.random.choice([0, 50]))
        )
        if build is not None:
            self.lease = Lease(build.id, build.attempt)

    def heartbeat(self, session: Session) -> None:
        transitions.heartbeat(session, self.lease, now=LATER)

    def log(self, session: Session) -> None:
        logs.append(session, self.lease, first_seq=1, texts=["a", "b"], now=LATER)

    def finish(self, session: Session) -> None:
        succeeds = self.random.random() < 0.5
        result = BuildResult(Status.SUCCEEDED) if succeeds else BuildResult(Status.FAILED, Reason.USER_ERROR)
        if transitions.finish(session, self.lease, result, now=LATER) and succeeds:
            build = session.get_one(Build, self.lease.build_id)
            images.record(session, build=build, recipe=RECIPE, name="i", digest=None, size=1, now=LATER)

    def requeue(self, session: Session) -> None:
        if self.random.random() < 0.5:
            transitions.release(session, self.lease, now=LATER)
        else:
            transitions.retry(session, self.lease, cause="x", message="x", now=NOW)

    def cancel(self, session: Session) -> None:
        transitions.cancel(session, self.lease.build_id + self.random.choice([0, 1]), by="alice", now=LATER)

    def reap(self, session: Session) -> None:
        transitions.reap(session, now=LATER)

    def delete_ref(self, session: Session) -> None:
        repository, ref = self.repository(session), self.ref()
        refs.record_push(session, repository, ref=ref, commit=None, before=None, pushed_at=NOW, now=NOW)
        supersede.cancel_ref(session, repository, ref, now=NOW)

    def delete_repository(self, session: Session) -> None:
        repository = self.repository(session)
        repositories.disable(session, repository)
        supersede.cancel_repository(session, repository, now=NOW)


def random_operations(url: str, seed: int, steps: int) -> int:
    """Run `steps` random operations, and return their number unless one raises."""
    with _database(url) as database:
        operations = RandomOperations(database, seed)
        for _ in range(steps):
            operations.step()
    return steps
