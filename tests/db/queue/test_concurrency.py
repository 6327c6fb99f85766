"""Several real processes at once, on both databases: nothing is done twice and nothing is lost."""

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
from db.models import Build, Delivery, Repository
from db.queue import transitions
from db.queue.enqueue import Enqueued
from db.queue.enqueue import enqueue as enqueue_build
from db.records import builds, logs
from db.status import ACTIVE, EnqueueOutcome, Lease, Status, Trigger
from tests.conftest import NOW, RECIPE
from tests.db import processes
from tests.db.processes import LATER

pytestmark = pytest.mark.slow

PROCESSES = 4
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.db.processes"])

COMMITS = [f"{number:040x}" for number in range(200)]


def at_once(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Call `function` with each of the arguments, each in its own process, begun together."""
    barrier = CONTEXT.Barrier(len(arguments))
    with ProcessPoolExecutor(
        len(arguments), CONTEXT, initializer=processes.begin_together, initargs=(barrier,)
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
    claimed = at_once(processes.drain, [(database_url, f"worker-{n}") for n in range(PROCESSES)])
    assert sum(len(some) > 0 for some in claimed) > 1, "one process did it all: this shows nothing"
    assert sorted(chain(*claimed)) == sorted(build.id for build in made if build)
    with database.read() as session:
        ends = [tuple(row) for row in session.execute(select(Build.status, Build.attempt))]
    assert ends == [(Status.SUCCEEDED, 1)] * len(COMMITS)


def test_one_wish_from_many_sides_makes_one_build(
    database_url: str, database: Database, repository: Repository
) -> None:
    answers = at_once(processes.enqueue, [(database_url, COMMITS[:60])] * PROCESSES)
    for about_one_commit in zip(*answers, strict=True):
        outcomes = Counter(outcome for outcome, _ in about_one_commit)
        assert outcomes == {EnqueueOutcome.QUEUED: 1, EnqueueOutcome.JOINED: PROCESSES - 1}
        assert len({build_id for _, build_id in about_one_commit}) == 1


def test_a_delivery_that_arrives_several_times_at_once_is_handled_once(
    database_url: str, database: Database, repository: Repository
) -> None:
    guids = [f"guid-{number}" for number in range(60)]
    new = at_once(processes.deliver, [(database_url, guids)] * PROCESSES)
    assert sorted(chain(*new)) == sorted(guids)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Delivery)) == len(guids)
        assert session.scalar(select(func.count()).select_from(Build)) == len(guids)


def test_a_dead_workers_build_is_reaped_once(
    database_url: str, database: Database, repository: Repository, enqueue: Callable[..., Enqueued]
) -> None:
    for commit in COMMITS[:40]:
        enqueue(commit=commit)
        with database.write() as session:
            transitions.claim(session, worker="dead", now=NOW)
    reaped = at_once(processes.reap, [(database_url,)] * PROCESSES)
    with database.read() as session:
        everyone = session.scalars(select(Build.id)).all()
        assert set(session.scalars(select(Build.status))) == {Status.QUEUED}
    assert sorted(build_id for build_id, _ in chain(*reaped)) == sorted(everyone)


def test_a_repository_that_many_hear_of_at_once_is_recorded_once(
    database_url: str, database: Database
) -> None:
    heard = [("Org/New", 7), ("org/new", None), ("ORG/NEW", 7), ("Org/New", None)]
    ids = at_once(processes.record_repository, [(database_url, *one) for one in heard])
    assert len(set(ids)) == 1


def test_chunks_that_are_sent_several_times_at_once_are_stored_once(
    database_url: str, database: Database, lease: Lease
) -> None:
    held = at_once(processes.append, [(database_url, lease, 100)] * PROCESSES)
    assert all(chain(*held))
    with database.read() as session:
        chunks = logs.read(session, lease.build_id)
    assert [text for _, text in chunks] == [f"line {number}\n" for number in range(1, 101)]


@pytest.fixture
def doomed(database_url: str, queued_build: Build) -> Callable[[bool], int]:
    """A process that claimed the build and was killed with SIGKILL; gives the id that it had claimed."""

    def claim_and_die(commit: bool) -> int:
        ours, theirs = CONTEXT.Pipe()
        process: BaseProcess = CONTEXT.Process(
            target=processes.claim_and_hang, args=(database_url, theirs, commit)
        )
        process.start()
        assert ours.poll(60)
        claimed: int = ours.recv()
        process.kill()
        process.join()
        return claimed

    return claim_and_die


def test_a_claimer_killed_before_its_commit_loses_nothing(
    database: Database, doomed: Callable[[bool], int]
) -> None:
    claimed = doomed(False)
    build = None
    while build is None:  # until PostgreSQL has noticed that the connection is gone
        with database.write() as session:
            build = transitions.claim(session, worker="next", now=NOW)
    assert (build.id, build.attempt) == (claimed, 1)


def test_a_builder_killed_in_the_middle_loses_nothing(
    database: Database, doomed: Callable[[bool], int]
) -> None:
    claimed = doomed(True)
    with database.write() as session:
        assert transitions.claim(session, worker="next", now=NOW) is None
        assert transitions.reap(session, now=LATER) == [(claimed, Status.QUEUED)]
        build = transitions.claim(session, worker="next", now=LATER)
    assert build is not None and (build.id, build.attempt) == (claimed, 2)


def test_nothing_that_web_and_builders_do_stands_in_the_way_of_the_rest(
    database_url: str, database: Database, repository: Repository
) -> None:
    steps = at_once(processes.everything, [(database_url, seed, 150) for seed in range(PROCESSES)])
    assert steps == [150] * PROCESSES
    with database.read() as session:
        active = [build.commit for build in builds.active(session)]
        assert len(active) == len(set(active))
        finished = session.scalars(select(Build.status).where(Build.status.not_in(ACTIVE))).all()
    assert finished
