"""Several processes use the queue at once, on both databases: nothing is done twice and nothing is lost."""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing.process import BaseProcess
from typing import Any

import pytest
from sqlalchemy import func, select

from db.database import Database
from db.models import IS_ACTIVE, Build, Delivery, Repository
from db.queue import transitions
from db.queue.enqueue import Enqueued
from db.queue.enqueue import enqueue as enqueue_build
from db.records import logs
from db.status import ACTIVE, EnqueueOutcome, Lease, Status, Trigger
from tests.conftest import NOW, RECIPE
from tests.db import processes
from tests.db.processes import LATER

pytestmark = pytest.mark.slow

PROCESSES = 4
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.db.processes"])

COMMITS = [f"{number:040x}" for number in range(200)]


def run_concurrently(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Call `function` with each of the arguments in its own process, starting at the same time."""
    barrier = CONTEXT.Barrier(len(arguments))
    with ProcessPoolExecutor(
        len(arguments), CONTEXT, initializer=processes.set_barrier, initargs=(barrier,)
    ) as pool:
        return [future.result(timeout=120) for future in [pool.submit(function, *a) for a in arguments]]


def test_each_build_is_claimed_exactly_once(
    database_url: str, database: Database, repository: Repository
) -> None:
    with database.write() as session:
        made = [
            enqueue_build(
                session,
                repository=repository,
                ref="",
                commit=commit,
                recipe=RECIPE,
                trigger=Trigger.MANUAL,
                now=NOW,
            ).build
            for commit in COMMITS
        ]
    claimed = run_concurrently(processes.drain, [(database_url, f"worker-{n}") for n in range(PROCESSES)])
    assert sum(len(some) > 0 for some in claimed) > 1, (
        "one process claimed all builds, so this test shows nothing"
    )
    assert sorted(chain(*claimed)) == sorted(build.id for build in made if build)
    with database.read() as session:
        ends = [tuple(row) for row in session.execute(select(Build.status, Build.attempt))]
    assert ends == [(Status.SUCCEEDED, 1)] * len(COMMITS)


def test_concurrent_requests_for_an_image_create_one_build(
    database_url: str, database: Database, repository: Repository
) -> None:
    results = run_concurrently(processes.enqueue, [(database_url, COMMITS[:60])] * PROCESSES)
    for of_commit in zip(*results, strict=True):
        outcomes = Counter(outcome for outcome, _ in of_commit)
        assert outcomes == {EnqueueOutcome.QUEUED: 1, EnqueueOutcome.JOINED: PROCESSES - 1}
        assert len({build_id for _, build_id in of_commit}) == 1


def test_a_delivery_that_arrives_concurrently_is_handled_once(
    database_url: str, database: Database, repository: Repository
) -> None:
    guids = [f"guid-{number}" for number in range(60)]
    new = run_concurrently(processes.deliver, [(database_url, guids)] * PROCESSES)
    assert sorted(chain(*new)) == sorted(guids)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Delivery)) == len(guids)
        assert session.scalar(select(func.count()).select_from(Build)) == len(guids)


def test_a_build_of_a_dead_builder_is_reaped_once(
    database_url: str, database: Database, repository: Repository, enqueue: Callable[..., Enqueued]
) -> None:
    for commit in COMMITS[:40]:
        enqueue(commit=commit)
        with database.write() as session:
            transitions.claim(session, worker="dead", now=NOW)
    reaped = run_concurrently(processes.reap, [(database_url,)] * PROCESSES)
    with database.read() as session:
        all_ids = session.scalars(select(Build.id)).all()
        assert set(session.scalars(select(Build.status))) == {Status.QUEUED}
    assert sorted(build_id for build_id, _ in chain(*reaped)) == sorted(all_ids)


def test_a_repository_recorded_concurrently_has_one_record(database_url: str, database: Database) -> None:
    described = [("Org/New", 7), ("org/new", None), ("ORG/NEW", 7), ("Org/New", None)]
    ids = run_concurrently(processes.record_repository, [(database_url, *names) for names in described])
    assert len(set(ids)) == 1


def test_log_chunks_sent_concurrently_are_stored_once(
    database_url: str, database: Database, lease: Lease
) -> None:
    held = run_concurrently(processes.append, [(database_url, lease, 100)] * PROCESSES)
    assert all(chain(*held))
    with database.read() as session:
        chunks = logs.read(session, lease.build_id)
    assert [text for _, text in chunks] == [f"line {number}\n" for number in range(1, 101)]


@pytest.fixture
def killed_builder(database_url: str, queued_build: Build) -> Callable[[bool], int]:
    """Claim the build in a process that is then killed with SIGKILL, and return the id of the build."""

    def claim_and_die(commit: bool) -> int:
        receiver, sender = CONTEXT.Pipe()
        process: BaseProcess = CONTEXT.Process(
            target=processes.claim_and_hang, args=(database_url, sender, commit)
        )
        process.start()
        assert receiver.poll(60)
        claimed: int = receiver.recv()
        process.kill()
        process.join()
        return claimed

    return claim_and_die


def test_a_builder_killed_before_its_claim_commits_loses_no_build(
    database: Database, killed_builder: Callable[[bool], int]
) -> None:
    claimed = killed_builder(False)
    build = None
    while build is None:  # until PostgreSQL notices that the connection is closed
        with database.write() as session:
            build = transitions.claim(session, worker="next", now=NOW)
    assert (build.id, build.attempt) == (claimed, 1)


def test_a_builder_killed_during_a_build_loses_no_build(
    database: Database, killed_builder: Callable[[bool], int]
) -> None:
    claimed = killed_builder(True)
    with database.write() as session:
        assert transitions.claim(session, worker="next", now=NOW) is None
        assert transitions.reap(session, now=LATER) == [(claimed, Status.QUEUED)]
        build = transitions.claim(session, worker="next", now=LATER)
    assert build is not None and (build.id, build.attempt) == (claimed, 2)


def test_concurrent_random_operations_neither_fail_nor_deadlock(
    database_url: str, database: Database, repository: Repository
) -> None:
    steps = run_concurrently(
        processes.random_operations, [(database_url, seed, 150) for seed in range(PROCESSES)]
    )
    assert steps == [150] * PROCESSES
    with database.read() as session:
        active = session.scalars(select(Build.commit).where(IS_ACTIVE)).all()
        assert len(active) == len(set(active))
        finished = session.scalars(select(Build.status).where(Build.status.not_in(ACTIVE))).all()
    assert finished
