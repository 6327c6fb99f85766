"""Group commits, on both databases: pieces of work that arrive together share a transaction, and nothing else."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from db.database import Database
from db.models import Delivery, Repository
from db.records import deliveries, repositories
from db.sql.group_commit import GroupCommit
from tests.conftest import NOW
from tests.db.round_trips import RoundTrips, count_round_trips

_UNSEEN = {"synchronize_session": False}  # as the statements of this project change rows

Work = Callable[[Session], object]


def deliver(guid: str) -> Work:
    return lambda session: deliveries.record(session, guid=guid, event="push", action=None, now=NOW)


def fail(session: Session) -> None:
    deliver("never")(session)
    raise ZeroDivisionError


def guids(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(Delivery.guid)))


@pytest.fixture
def commits(database: Database) -> list[object]:
    """One entry for each commit."""
    seen: list[object] = []
    event.listen(database.engine, "commit", seen.append)
    return seen


@contextmanager
def together(database: Database, *pieces: Work) -> Iterator[list["Future[object]"]]:
    """Hand pieces in, each from a thread of its own, while a transaction runs; it ends with the block."""
    transactions = GroupCommit(database)
    running, go_on = threading.Event(), threading.Event()

    def hold(session: Session) -> None:
        deliver("first")(session)
        running.set()
        go_on.wait(30)

    with ThreadPoolExecutor(len(pieces) + 1) as pool:
        pool.submit(transactions.run, hold)
        assert running.wait(30)
        futures = [pool.submit(transactions.run, piece) for piece in pieces]
        while len(transactions._waiting) < len(pieces):
            time.sleep(0.01)
        yield futures
        go_on.set()


def test_what_waits_is_committed_at_once_and_each_gets_its_own_answer(
    database: Database, commits: list[object]
) -> None:
    with together(database, deliver("one"), deliver("two"), deliver("one")) as futures:
        before = len(commits)
    assert sorted(future.result() for future in futures) == [False, True, True]  # type: ignore[type-var]
    assert guids(database) == {"first", "one", "two"}
    assert len(commits) == before + 2  # that of the first, and theirs


def test_a_piece_that_fails_spoils_no_other(database: Database) -> None:
    with together(database, deliver("one"), fail, deliver("two")) as (one, failed, two):
        pass
    assert one.result() is two.result() is True
    with pytest.raises(ZeroDivisionError):
        failed.result()
    assert guids(database) == {"first", "one", "two"}


def test_what_the_database_refuses_is_told_to_whoever_asked_for_it(database: Database) -> None:
    def delivery_of_no_repository(session: Session) -> None:
        session.add(Delivery(guid="three", event="push", repository_id=404, received_at=NOW))

    with together(database, deliver("one"), delivery_of_no_repository) as (one, failed):
        pass
    assert one.result() is True
    with pytest.raises(IntegrityError):
        failed.result()
    assert guids(database) == {"first", "one"}


def test_a_database_that_another_process_holds_is_waited_for_once(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    tried: list[object] = []

    def hurry(connection: sqlite3.Connection, *_: object) -> None:
        tried.append(connection.execute("PRAGMA busy_timeout = 100"))

    event.listen(database.engine, "checkout", hurry)
    path = str(database.url.database)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        with together(database, deliver("one"), deliver("two"), deliver("three")) as futures:
            # Between the first transaction and theirs.
            event.listen(database.engine, "commit", lambda _: tried.clear(), once=True)
            event.listen(database.engine, "checkin", lambda *_: other.execute("BEGIN IMMEDIATE"), once=True)
        for future in futures:
            with pytest.raises(OperationalError, match="locked"):
                future.result()
        other.execute("ROLLBACK")
        assert len(tried) == 1
    assert guids(database) == {"first"}
    database.dispose()


def test_a_piece_sees_what_the_one_before_it_changed(database: Database) -> None:
    def rename(number: int) -> Work:
        def work(session: Session) -> str | None:
            row = repositories.find_by_provider_id(session, "gh", 1)
            repositories.record(session, full_name=f"org/name-{number}", provider_id=1, now=NOW)
            return row.full_name if row else None

        return work

    with together(database, rename(1), rename(2), rename(3)) as futures:
        pass
    assert len({future.result() for future in futures}) == 3


def test_a_piece_does_not_meet_what_the_one_before_it_has_loaded(database: Database) -> None:
    with database.write() as session:
        repositories.record(session, full_name="o/r", provider_id=1, now=NOW)

    def rename(name: str) -> Work:
        def work(session: Session) -> tuple[str, Repository]:
            row = session.scalars(select(Repository)).one()
            seen = row.full_name
            session.execute(update(Repository).values(full_name=name), execution_options=_UNSEEN)
            return seen, row  # as the effect of a delivery holds its repository

        return work

    with together(database, rename("one"), rename("two")) as futures:
        pass
    seen = {future.result()[0] for future in futures}  # type: ignore[index]
    assert seen in ({"o/r", "one"}, {"o/r", "two"})


def test_the_next_group_is_led_by_one_of_its_own(database: Database) -> None:
    transactions = GroupCommit(database)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(transactions.run, [deliver(f"guid {number}") for number in range(200)]))
    assert answers == [True] * 200
    assert len(guids(database)) == 200


def test_pieces_begin_in_the_order_in_which_they_lock(database: Database) -> None:
    begun: list[int] = []

    def work(number: int) -> Work:
        return lambda _session: begun.append(number)

    transactions = GroupCommit(database)
    with transactions._gate:  # as while another group runs
        transactions._is_led = True
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(transactions.run, work(number), lock_order=number) for number in (3, 1, 2)]
        while len(transactions._waiting) < 3:
            time.sleep(0.01)
        transactions._waiting[0].woken.set()
        for future in futures:
            future.result(timeout=30)
    assert begun == [1, 2, 3]


def test_a_group_takes_as_many_round_trips_whatever_its_size(postgresql_url: str) -> None:
    with count_round_trips(postgresql_url) as counted:
        database = Database(counted.url)
        for number in range(12):  # until each statement is prepared
            GroupCommit(database).run(deliver(str(number)))
        of_two = _round_trips(database, counted, "ab")
        assert _round_trips(database, counted, "cdefghij") == of_two
        assert guids(database) >= set("abcdefghij")
        database.dispose()


def _round_trips(database: Database, counted: RoundTrips, names: str) -> int:
    """Return how many round trips a group of deliveries takes, with the COMMIT of the one that it waits for."""
    with together(database, *map(deliver, names)):
        counted.count = 0
    return counted.count
