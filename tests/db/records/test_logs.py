"""Logs: chunks that can be sent again, read from any point on, and clean with each attempt."""

import pytest

from db.database import Database
from db.queue import transitions
from db.queue.transitions import BuildResult
from db.records import logs
from db.records.logs import START, Position
from db.status import Lease, Status
from tests.conftest import NOW
from tests.db.processes import LATER


def append(database: Database, lease: Lease, first: int, *texts: str) -> bool:
    with database.write() as session:
        return logs.append(session, lease, first_seq=first, texts=texts, now=NOW)


def read(
    database: Database, lease: Lease, after: Position = START, limit: int = 200
) -> list[tuple[str, str]]:
    with database.read() as session:
        found = logs.read(session, lease.build_id, after=after, limit=limit)
    return [(str(position), text) for position, text in found]


def test_chunks_are_read_in_order_from_any_point_on(database: Database, lease: Lease) -> None:
    assert append(database, lease, 1, "one\n", "two\n")
    assert append(database, lease, 3, *(f"{n}\n" for n in range(3, 12)))
    everything = read(database, lease)
    assert everything[:3] == [("1.1", "one\n"), ("1.2", "two\n"), ("1.3", "3\n")]
    assert [position for position, _ in everything] == [f"1.{n}" for n in range(1, 12)]
    assert read(database, lease, after=Position(1, 2), limit=2) == [("1.3", "3\n"), ("1.4", "4\n")]
    assert read(database, lease, after=Position(1, 11)) == []


def test_a_resend_is_harmless(database: Database, lease: Lease) -> None:
    append(database, lease, 1, "one", "two")
    assert append(database, lease, 1, "one", "changed", "three")
    assert read(database, lease) == [("1.1", "one"), ("1.2", "two"), ("1.3", "three")]


def test_nothing_to_send_is_fine_while_the_lease_holds(database: Database, lease: Lease) -> None:
    assert append(database, lease, 1)
    assert read(database, lease) == []


def test_a_new_attempt_starts_clean(database: Database, lease: Lease) -> None:
    append(database, lease, 1, "first try", "went wrong")
    with database.write() as session:
        transitions.release(session, lease, now=NOW)
        transitions.claim(session, worker="next", now=NOW)
    second = Lease(lease.build_id, 2)
    assert append(database, second, 1, "second try")
    assert not append(database, lease, 3, "from a ghost")
    assert read(database, lease) == [("1.1", "first try"), ("1.2", "went wrong"), ("2.1", "second try")]
    assert read(database, lease, after=Position(2, 0)) == [("2.1", "second try")]
    assert read(database, lease, after=Position(1, 2)) == [("2.1", "second try")]


def test_without_a_lease_nothing_is_written(database: Database, lease: Lease) -> None:
    with database.write() as session:
        transitions.finish(session, lease, BuildResult(Status.SUCCEEDED), now=LATER)
    assert not append(database, lease, 1, "too late")
    assert not append(database, Lease(lease.build_id + 1, 1), 1, "no such build")
    assert read(database, lease) == []


def test_text_that_no_database_stores_is_stored_all_the_same(database: Database, lease: Lease) -> None:
    assert append(database, lease, 1, "nul \0 and half \ud83d of an emoji 🪐")
    assert read(database, lease) == [("1.1", "nul \N{REPLACEMENT CHARACTER} and half ? of an emoji 🪐")]


def test_a_position_reads_back_as_it_is_written() -> None:
    assert logs.parse_position(str(Position(3, 14))) == Position(3, 14)
    assert logs.parse_position(" 1.25 ") == Position(1, 25)


@pytest.mark.parametrize(
    "text", ["", "1", "1.", ".1", "1.2.3", "-1.2", "1.-2", "a.b", "¹.²", "1,2", "1.9999999999"]
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="position"):
        logs.parse_position(text)
