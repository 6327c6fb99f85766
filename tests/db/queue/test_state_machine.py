"""Random sequences of all transitions, on both databases, against a model in Python and the invariants."""

import sqlite3
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import Phase as Phases
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import event

from base.report_channels import GITHUB_STATUS
from db.database import Database
from db.status import TRANSITIONS, Status
from tests.db.queue.machine import NOTIFIED, QueueMachine, moves

pytestmark = pytest.mark.slow

EXAMPLES = settings(
    max_examples=25,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    database=None,
    # On a real database it takes minutes to find the shortest sequence that fails; any has 40 steps at most.
    phases=[Phases.generate],
    report_multiple_bugs=False,
)


def do_not_wait_for_the_disk(connection: Any, _record: object) -> None:
    is_sqlite = isinstance(connection, sqlite3.Connection)
    connection.execute("PRAGMA synchronous=OFF" if is_sqlite else "SET synchronous_commit = off")
    connection.commit()


@pytest.fixture
def machine(database_url: str) -> Iterator[type[QueueMachine]]:
    database = Database(database_url, channels=(GITHUB_STATUS, NOTIFIED))
    event.listen(database.engine, "connect", do_not_wait_for_the_disk)
    yield type("OnThisDatabase", (QueueMachine,), {"database": database})
    database.dispose()


def test_every_sequence_of_transitions_keeps_the_records_right(machine: type[QueueMachine]) -> None:
    run_state_machine_as_test(machine, settings=EXAMPLES)


def test_long_and_even_sequences_keep_the_records_right(machine: type[QueueMachine]) -> None:
    # Hypothesis is fond of repetition, which finds what is odd; this goes through the usual lives of builds.
    seen: set[tuple[Status | None, Status]] = set()
    for seed in range(20):
        one = machine()
        chance = Random(seed)
        for _ in range(80):
            before = one.seen
            one.take_a_step(chance)
            one.the_records_are_as_the_model_says()
            seen.update(moves(before, one.seen))
    assert seen == TRANSITIONS, "a move was never seen: this shows less than it says"
