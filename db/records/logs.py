"""Append to build logs and read them from any position, in chunks."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from db.models import Build, LogChunk
from db.sql.insert import insert_missing
from db.status import Lease, Status


class Position(NamedTuple):
    """The last chunk that a reader has received. Written as `attempt.seq`, for example in SSE event ids."""

    attempt: int
    seq: int

    def __str__(self) -> str:
        return f"{self.attempt}.{self.seq}"


START = Position(0, 0)


def parse_position(text: str) -> Position:
    """Parse a position of the form `attempt.seq`. Raises ValueError with the expected form."""
    attempt, dot, seq = text.strip().partition(".")
    if not (dot and attempt.isascii() and attempt.isdigit() and seq.isascii() and seq.isdigit()):
        raise ValueError("a log position must have the form ATTEMPT.CHUNK, such as 1.25")
    if max(len(attempt), len(seq)) > 9:
        raise ValueError("the log position is out of range")
    return Position(int(attempt), int(seq))


def append(session: Session, lease: Lease, *, first_seq: int, texts: Sequence[str], now: datetime) -> bool:
    """Store chunks, numbered from `first_seq`; the first chunk is 1. Return False if the lease is lost.

    Existing chunks stay unchanged, so resending after a broken connection is safe.
    """
    # The lock prevents deletion of the build, but not reaping: a chunk written just after a reap belongs to an
    # attempt that readers no longer show.
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
    """Return up to `limit` chunks after a position, in order."""
    rows = session.execute(
        select(LogChunk.attempt, LogChunk.seq, LogChunk.text)
        .where(LogChunk.build_id == build_id, tuple_(LogChunk.attempt, LogChunk.seq) > tuple_(*after))
        .order_by(LogChunk.attempt, LogChunk.seq)
        .limit(limit)
    )
    return [(Position(row.attempt, row.seq), row.text) for row in rows]


def last_position(session: Session, build_id: int) -> Position:
    """Return the position of the last chunk, or START if the log is empty."""
    row = session.execute(
        select(LogChunk.attempt, LogChunk.seq)
        .where(LogChunk.build_id == build_id)
        .order_by(LogChunk.attempt.desc(), LogChunk.seq.desc())
        .limit(1)
    ).one_or_none()
    return START if row is None else Position(row.attempt, row.seq)


def tail(session: Session, build_id: int, *, limit: int = 4) -> str:
    """Return the last `limit` chunks of the newest attempt's log as one text."""
    end = last_position(session, build_id)
    rows = session.scalars(
        select(LogChunk.text)
        .where(LogChunk.build_id == build_id, LogChunk.attempt == end.attempt)
        .order_by(LogChunk.seq.desc())
        .limit(limit)
    )
    return "".join(reversed(rows.all()))
