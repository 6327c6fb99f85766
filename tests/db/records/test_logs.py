"""The last position of a log, on both databases."""

from db.database import Database
from db.log_store import START, Position
from db.records import logs
from db.status import Lease
from tests.conftest import NOW


def test_the_last_position_is_the_last_chunk_of_the_newest_attempt(database: Database, lease: Lease) -> None:
    with database.write() as session:
        assert logs.last_position(session, lease.build_id) == START
        logs.append(session, lease, first_seq=1, texts=["a", "b"], now=NOW)
    with database.read() as session:
        assert logs.last_position(session, lease.build_id) == Position(1, 2)
