"""Compare random sequences of transitions with the model and the invariants, on both databases."""

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
from tests.db.queue.machine import NOTIFICATION_CHANNEL, QueueMachine, transitions_between

pytestmark = pytest.mark.slow

EXAMPLES = settings(
    max_examples=25,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    database=None,
    # On a real database, shrinking a failing sequence takes minutes, and it has at most 40 steps anyway.
    phases=[Phases.generate],
    report_multiple_bugs=False,
)


def disable_disk_sync(connection: Any, _record: object) -> None:
    is_sqlite = isinstance(connection, sqlite3.Connection)
    connection.execute("PRAGMA synchronous=OFF" if is_sqlite else "SET synchronous_commit = off")
    connection.commit()


@pytest.fixture
def machine(database_url: str) -> Iterator[type[QueueMachine]]:
    database = Database(database_url, channels=(GITHUB_STATUS, NOTIFICATION_CHANNEL))
    event.listen(database.engine, "connect", disable_disk_sync)
    yield type("OnThisDatabase", (QueueMachine,), {"database": database})
    database.dispose()


def test_random_sequences_of_transitions_match_the_model(machine: type[QueueMachine]) -> None:
    run_state_machine_as_test(machine, settings=EXAMPLES)


def test_long_sequences_of_all_transitions_match_the_model(machine: type[QueueMachine]) -> None:
    # Hypothesis prefers repetition, which finds unusual cases. These sequences cover the usual ones evenly.
    seen: set[tuple[Status | None, Status]] = set()
    for seed in range(20):
        run = machine()
        chance = Random(seed)
        for _ in range(80):
            before = run.previous_rows
            run.take_random_step(chance)
            run.the_records_match_the_model()
            seen.update(transitions_between(before, run.previous_rows))
    assert seen == TRANSITIONS, "some transitions never happened, so this test did not cover them"
