"""Store and read build logs in the database.

The functions work in a session of the caller's. `DatabaseLogStore` is the implementation of
`db.log_store.LogStore`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import delete, select, tuple_
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.database import Database
from db.log_store import START, LogStoreUnavailable, Position
from db.models import Build, LogChunk
from db.sql.insert import insert_missing
from db.status import Lease, Status


def append(session: Session, lease: Lease, *, first_seq: int, texts: Sequence[str], now: datetime) -> bool:
    """See `LogStore.append`."""
    # The lock keeps the build from being deleted, not from being reaped: a chunk stored after a reaper's change
    # belongs to an attempt that readers have moved past.
    held = session.scalar(
        select(Build.id)
        .where(Build.id == lease.build_id, Build.status == Status.RUNNING, Build.attempt == lease.attempt)
        .with_for_update(read=True, key_share=True)
    )
    if held is None:
        return False
    key = {"build_id": lease.build_id, "attempt": lease.attempt}
    rows = [
        {**key, "seq": seq, "text": text, "created_at": now}
        for seq, text in enumerate(texts, start=first_seq)
    ]
    insert_missing(session, LogChunk, rows, key=[*key, "seq"])
    return True


def read(
    session: Session, build_id: int, *, after: Position = START, limit: int = 200
) -> list[tuple[Position, str]]:
    """See `LogStore.read`."""
    rows = session.execute(
        select(LogChunk.attempt, LogChunk.seq, LogChunk.text)
        .where(LogChunk.build_id == build_id, tuple_(LogChunk.attempt, LogChunk.seq) > tuple_(*after))
        .order_by(LogChunk.attempt, LogChunk.seq)
        .limit(limit)
    )
    return [(Position(row.attempt, row.seq), row.text) for row in rows]


def last_position(session: Session, build_id: int) -> Position:
    """See `LogStore.last_position`."""
    row = session.execute(
        select(LogChunk.attempt, LogChunk.seq)
        .where(LogChunk.build_id == build_id)
        .order_by(LogChunk.attempt.desc(), LogChunk.seq.desc())
        .limit(1)
    ).one_or_none()
    return START if row is None else Position(row.attempt, row.seq)


def tail(session: Session, build_id: int, *, limit: int = 4) -> str:
    """See `LogStore.tail`."""
    end = last_position(session, build_id)
    rows = session.scalars(
        select(LogChunk.text)
        .where(LogChunk.build_id == build_id, LogChunk.attempt == end.attempt)
        .order_by(LogChunk.seq.desc())
        .limit(limit)
    )
    return "".join(reversed(rows.all()))


def remove(session: Session, build_ids: Sequence[int]) -> None:
    """See `LogStore.remove`."""
    session.execute(delete(LogChunk).where(LogChunk.build_id.in_(build_ids)))


class DatabaseLogStore:
    """Keeps logs in the table `log_chunk`; each call is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, lease: Lease, *, first_seq: int, texts: Sequence[str], now: datetime) -> bool:
        with _translated_errors(), self._database.write() as session:
            return append(session, lease, first_seq=first_seq, texts=texts, now=now)

    def read(self, build_id: int, *, after: Position = START, limit: int = 200) -> list[tuple[Position, str]]:
        with _translated_errors(), self._database.read() as session:
            return read(session, build_id, after=after, limit=limit)

    def last_position(self, build_id: int) -> Position:
        with _translated_errors(), self._database.read() as session:
            return last_position(session, build_id)

    def tail(self, build_id: int, *, limit: int = 4) -> str:
        with _translated_errors(), self._database.read() as session:
            return tail(session, build_id, limit=limit)

    def remove(self, build_ids: Sequence[int]) -> None:
        with _translated_errors(), self._database.write() as session:
            remove(session, build_ids)


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as exc:
        raise LogStoreUnavailable(type(exc).__name__) from exc
