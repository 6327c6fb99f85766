"""Statements on the driver itself: what SQLAlchemy would have done, on both databases."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import bindparam, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from db.database import Database
from db.models import Build, Delivery, RefHead, Repository
from db.sql import driver
from db.status import Priority, Status, Trigger
from tests.conftest import COMMIT, NOW, RECIPE

_REPOSITORY = select(Repository.full_name, Repository.private, Repository.created_at).where(
    Repository.name_key == bindparam("name")
)
_ADD = insert(Delivery.metadata.tables["delivery"])


def add(database: Database, guid: str) -> list[driver.Row]:
    with database.write() as session:
        return driver.execute(session, _ADD, {"guid": guid, "event": "push", "received_at": NOW})


def test_values_are_written_and_read_as_sqlalchemy_does(database: Database, repository: Repository) -> None:
    moment = datetime(2026, 3, 29, 2, 30, 1, 234567, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    head = insert(RefHead.metadata.tables["ref_head"]).returning(RefHead.learnt_at)
    values = {"repository_id": repository.id, "ref": "refs/heads/nul \0", "commit": COMMIT}
    with database.write() as session:
        rows = driver.execute(session, head, {**values, "learnt_at": moment, "learnt_by": "push"})
    assert rows == [(moment,)] and rows[0][0].tzinfo is UTC
    with database.read() as session:
        stored = session.scalars(select(RefHead)).one()
    assert (stored.ref, stored.learnt_at) == ("refs/heads/nul \N{REPLACEMENT CHARACTER}", moment)
    assert driver.read(database, _REPOSITORY, {"name": "org/repo"}) == [
        (repository.full_name, False, repository.created_at)
    ]


def test_a_column_that_is_not_given_gets_its_default(database: Database, repository: Repository) -> None:
    statement = insert(Build.metadata.tables["build"]).returning(Build.status, Build.max_attempts)
    wish = {"repository_id": repository.id, "ref": "", "commit": COMMIT, "recipe": RECIPE}
    how = {"trigger": Trigger.PUSH, "priority": Priority.PUSH, "status": Status.QUEUED}
    with database.write() as session:
        rows = driver.execute(session, statement, {**wish, **how, "run_after": NOW, "created_at": NOW})
    assert rows == [(Status.QUEUED, 3)]


def test_a_value_that_was_forgotten_is_an_error(database: Database) -> None:
    with pytest.raises(KeyError):
        driver.read(database, _REPOSITORY, {})


def test_what_it_writes_goes_the_way_of_its_transaction(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as session:
        driver.execute(session, _ADD, {"guid": "1" * 8, "event": "push", "received_at": NOW})
        raise ZeroDivisionError
    with Session(database.engine) as session:  # which can begin again, on another connection
        driver.execute(session, _ADD, {"guid": "2" * 8, "event": "push", "received_at": NOW})
        session.rollback()
        driver.execute(session, _ADD, {"guid": "3" * 8, "event": "push", "received_at": NOW})
        session.commit()
    with database.read() as session:
        assert session.scalars(select(Delivery.guid)).all() == ["3" * 8]


def test_an_error_is_sqlalchemys_and_shows_no_values(database: Database) -> None:
    add(database, "secret-guid")
    with pytest.raises(IntegrityError) as caught:
        add(database, "secret-guid")
    assert "[parameters" not in str(caught.value)
    assert add(database, "another-guid") == []


def test_what_another_has_committed_is_seen_by_the_next_read(
    database: Database, repository: Repository
) -> None:
    assert driver.read(database, _REPOSITORY, {"name": "org/repo"})[0][1] is False
    with database.write() as session:
        session.execute(update(Repository).values(private=True))
    assert driver.read(database, _REPOSITORY, {"name": "org/repo"})[0][1] is True


def test_a_read_outlives_the_connections_that_broke_while_idle(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    assert driver.read(database, _REPOSITORY, {"name": "org/repo"}) == []
    with database.write() as session:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        ended = session.scalars(
            text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        )
        assert list(ended) == [True]
    assert driver.read(database, _REPOSITORY, {"name": "org/repo"}) == []
    database.dispose()


@pytest.mark.parametrize("url", ["sqlite:////", "postgresql+psycopg://nobody@127.0.0.1:1/nothing"])
def test_a_database_that_cannot_be_reached_is_sqlalchemys_error(url: str) -> None:
    with pytest.raises(OperationalError):
        driver.read(Database(url), _REPOSITORY, {"name": "org/repo"})
