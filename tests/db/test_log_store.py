"""The contract of `db.log_store.LogStore`, held against every implementation.

`STORES` lists each implementation as a function that makes it from the database of builds and leases.
"""

from collections.abc import Callable

import pytest

from db.database import Database
from db.log_store import START, LogStore, LogStoreUnavailable, Position, parse_position
from db.queue import transitions
from db.queue.transitions import BuildResult
from db.records.logs import DatabaseLogStore
from db.status import Lease, Status
from tests.conftest import NOW
from tests.db.processes import LATER

STORES: list[Callable[[Database], LogStore]] = [DatabaseLogStore]


@pytest.fixture(params=STORES, ids=lambda made: made.__name__)
def store(request: pytest.FixtureRequest, database: Database) -> LogStore:
    made: LogStore = request.param(database)
    return made


def append(store: LogStore, lease: Lease, first: int, *texts: str) -> bool:
    return store.append(lease, first_seq=first, texts=texts, now=NOW)


def read(store: LogStore, lease: Lease, after: Position = START, limit: int = 200) -> list[tuple[str, str]]:
    return [(str(at), text) for at, text in store.read(lease.build_id, after=after, limit=limit)]


def start_second_attempt(database: Database, lease: Lease) -> Lease:
    with database.write() as session:
        transitions.release(session, lease, now=NOW)
        transitions.claim(session, worker="next", now=NOW)
    return Lease(lease.build_id, 2)


def test_chunks_are_read_in_order_from_any_position(store: LogStore, lease: Lease) -> None:
    assert append(store, lease, 1, "one\n", "two\n")
    assert append(store, lease, 3, *(f"{n}\n" for n in range(3, 12)))
    everything = read(store, lease)
    assert everything[:3] == [("1.1", "one\n"), ("1.2", "two\n"), ("1.3", "3\n")]
    assert [position for position, _ in everything] == [f"1.{n}" for n in range(1, 12)]
    assert read(store, lease, after=Position(1, 2), limit=2) == [("1.3", "3\n"), ("1.4", "4\n")]
    assert read(store, lease, after=Position(1, 11)) == []


def test_sending_chunks_again_changes_nothing(store: LogStore, lease: Lease) -> None:
    append(store, lease, 1, "one", "two")
    assert append(store, lease, 1, "one", "changed", "three")
    assert read(store, lease) == [("1.1", "one"), ("1.2", "two"), ("1.3", "three")]


def test_no_chunks_can_be_appended_while_the_lease_holds(store: LogStore, lease: Lease) -> None:
    assert append(store, lease, 1)
    assert read(store, lease) == []


def test_a_lost_lease_stores_nothing(database: Database, store: LogStore, lease: Lease) -> None:
    with database.write() as session:
        transitions.finish(session, lease, BuildResult(Status.SUCCEEDED), now=LATER)
    assert not append(store, lease, 1, "too late")
    assert not append(store, Lease(lease.build_id + 1, 1), 1, "no such build")
    assert read(store, lease) == []


def test_a_second_attempt_continues_the_log(database: Database, store: LogStore, lease: Lease) -> None:
    append(store, lease, 1, "first try", "failed")
    second = start_second_attempt(database, lease)
    assert append(store, second, 1, "second try")
    assert not append(store, lease, 3, "from the first attempt")
    assert read(store, lease) == [("1.1", "first try"), ("1.2", "failed"), ("2.1", "second try")]
    assert read(store, lease, after=Position(2, 0)) == [("2.1", "second try")]
    assert read(store, lease, after=Position(1, 2)) == [("2.1", "second try")]


def test_the_last_position_is_that_of_the_newest_chunk(
    database: Database, store: LogStore, lease: Lease
) -> None:
    assert store.last_position(lease.build_id) == START
    append(store, lease, 1, "one", "two")
    assert store.last_position(lease.build_id) == Position(1, 2)
    append(store, start_second_attempt(database, lease), 1, "again")
    assert store.last_position(lease.build_id) == Position(2, 1)


def test_the_tail_has_the_last_chunks_of_the_newest_attempt(
    database: Database, store: LogStore, lease: Lease
) -> None:
    assert store.tail(lease.build_id) == ""
    append(store, lease, 1, *"abcdef")
    assert store.tail(lease.build_id, limit=2) == "ef"
    append(store, start_second_attempt(database, lease), 1, "g")
    assert store.tail(lease.build_id, limit=2) == "g"


def test_removing_logs_leaves_those_of_other_builds(store: LogStore, lease: Lease) -> None:
    append(store, lease, 1, "one")
    store.remove([lease.build_id + 1])
    assert read(store, lease) == [("1.1", "one")]
    store.remove([lease.build_id, lease.build_id + 1])
    assert read(store, lease) == []
    store.remove([lease.build_id])


def test_any_text_can_be_stored(store: LogStore, lease: Lease) -> None:
    assert append(store, lease, 1, "nul \0 and half \ud83d of an emoji 🪐")
    assert read(store, lease) == [("1.1", "nul \N{REPLACEMENT CHARACTER} and half ? of an emoji 🪐")]


def test_a_store_that_does_not_answer_raises_its_own_error() -> None:
    store = DatabaseLogStore(Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing"))
    calls = [
        lambda: store.append(Lease(1, 1), first_seq=1, texts=["x"], now=NOW),
        lambda: store.read(1),
        lambda: store.last_position(1),
        lambda: store.tail(1),
        lambda: store.remove([1]),
    ]
    for call in calls:
        with pytest.raises(LogStoreUnavailable):
            call()


def test_a_position_reads_back_as_it_is_written() -> None:
    assert parse_position(str(Position(3, 14))) == Position(3, 14)
    assert parse_position(" 1.25 ") == Position(1, 25)


@pytest.mark.parametrize(
    "text", ["", "1", "1.", ".1", "1.2.3", "-1.2", "1.-2", "a.b", "¹.²", "1,2", "1.9999999999"]
)
def test_an_invalid_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="position"):
        parse_position(text)
