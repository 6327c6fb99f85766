"""The queue is read by its own small indexes even if there are many ended builds, on both databases.

The plans are those of the real statements, captured before they are executed. On PostgreSQL it is the generic plan
that a prepared statement gets after a few executions, in which a bound status would hide the partial index.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from psycopg import ClientCursor
from sqlalchemy import Connection, event, text
from sqlalchemy.orm import Session

from db.database import Database
from db.models import Build, Repository
from db.queries import history
from db.queries.history import BuildFilter
from db.queries.visibility import UNRESTRICTED
from db.queue import transitions
from db.queue.enqueue import Enqueued
from db.records import builds
from db.status import Status, Trigger
from tests.conftest import NOW, RECIPE
from tests.db.numbered_rows import commit, insert_rows
from tests.db.processes import LATER

pytestmark = pytest.mark.slow

FINISHED = 20_000


@pytest.fixture
def full_database(database: Database, repository: Repository, enqueue: Callable[..., Enqueued]) -> Database:
    """A database with thousands of ended builds, a few queued ones and a running one."""
    ended = {
        "repository_id": repository.id,
        "ref": "refs/heads/main",
        "recipe": RECIPE,
        "trigger": Trigger.PUSH,
        "priority": 20,
        "status": Status.SUCCEEDED,
        "run_after": NOW,
        "created_at": NOW,
        "finished_at": NOW,
    }
    with database.write() as session:
        insert_rows(session, Build, FINISHED, commit=commit, **ended)
    for letter in "abcdef":
        enqueue(commit=letter * 40)
    with database.write() as session:
        transitions.claim(session, worker="w", now=NOW)
        session.execute(text("ANALYZE"))
    return database


def plan_of(database: Database, act: Callable[[Session], object], number: int = 0) -> str:
    """Return the plan of a statement on builds that `act` executes, by default of the first."""
    captured: list[tuple[str, Any]] = []

    def capture(_connection: Connection, _cursor: object, sql: str, parameters: Any, *_: object) -> None:
        if "build" in sql:
            captured.append((sql, parameters))

    event.listen(database.engine, "before_cursor_execute", capture)
    with database.write() as session:
        act(session)
        session.rollback()
    event.remove(database.engine, "before_cursor_execute", capture)
    statement, parameters = captured[number]
    with database.snapshot() as session:
        if database.is_sqlite:
            rows = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            return "\n".join(str(row[3]) for row in rows)
        return _generic_plan(session.connection(), statement, parameters)


def _generic_plan(connection: Connection, statement: str, parameters: dict[str, Any]) -> str:
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        names.append(match[1])
        return f"${len(names)}"

    prepared = re.sub(r"%\((\w+)\)s", number, statement)
    connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
    connection.exec_driver_sql(f"PREPARE captured AS {prepared}")
    # EXECUTE does not accept bound parameters, so the values are part of the statement.
    placeholders = f"({', '.join(['%s'] * len(names))})" if names else ""
    cursor = ClientCursor(connection.connection.cursor().connection)
    values = cursor.mogrify(placeholders, [parameters[name] for name in names])
    rows = connection.exec_driver_sql(f"EXPLAIN EXECUTE captured{values}").all()
    connection.exec_driver_sql("DEALLOCATE captured")
    return "\n".join(row[0] for row in rows)


def reads_only(plan: str, index: str) -> bool:
    """Return whether a plan uses the index and never scans the whole table of builds."""
    return index in plan and "Seq Scan on build" not in plan and "SCAN build\n" not in f"{plan}\n"


def test_claim_reads_only_the_index_of_queued_builds(full_database: Database) -> None:
    plan = plan_of(full_database, lambda session: transitions.claim(session, worker="w", now=NOW))
    assert reads_only(plan, "ix_build_claim"), plan
    assert "Sort" not in plan and "TEMP B-TREE" not in plan, plan


def test_reap_reads_only_the_index_of_leases(full_database: Database) -> None:
    plan = plan_of(full_database, lambda session: transitions.reap(session, now=LATER))
    assert reads_only(plan, "ix_build_lease"), plan


def test_queue_position_reads_only_the_index_of_queued_builds(full_database: Database) -> None:
    with full_database.read() as session:
        last = session.get_one(Build, builds.newest_id(session))
    plan = plan_of(full_database, lambda session: builds.queue_position(session, last))
    assert reads_only(plan, "ix_build_claim"), plan


@pytest.mark.parametrize(
    "read",
    [
        lambda session: history.active_builds(session, UNRESTRICTED, BuildFilter()),
        lambda session: history.page_with_active(session, UNRESTRICTED, BuildFilter()),
    ],
)
def test_active_builds_are_read_by_the_index_of_active_builds(
    full_database: Database, read: Callable[[Session], object]
) -> None:
    plan = plan_of(full_database, read)
    assert reads_only(plan, "uq_build_active"), plan
