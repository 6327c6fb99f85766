"""Build logs: chunks in, chunks out, from any point on."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from db.models import Build, LogChunk
from db.sql.insert import insert_missing
from db.status import Lease, Status


class Position(NamedTuple):
    """Where a reader of a log stands: after this chunk. Written `attempt.seq`, as in an SSE event id."""

    attempt: int
    seq: int

    def __str__(self) -> str:
        return f"{self.attempt}.{self.seq}"


START = Position(0, 0)


def parse_position(text: str) -> Position:
    """Return the position that `attempt.seq` names; raises ValueError with what to write."""
    attempt, dot, seq = text.strip().partition(".")
    if not (dot and attempt.isascii() and attempt.isdigit() and seq.isascii() and seq.isdigit()):
        raise ValueError("a log position looks like 1.25: attempt, dot, chunk number")
    if max(len(attempt), len(seq)) > 9:
        raise ValueError("that log position is out of range")
    return Position(int(attempt), int(seq))


def append(session: Session, lease: Lease, *, first_seq: int, texts: Sequence[str], now: datetime) -> bool:
    """Store chunks, numbered from `first_seq` (1 is the first) on; False where the lease is lost.

    A chunk that is there already stays as it is, so sending again after a broken connection is harmless.
    """
    # The lock keeps the build from being deleted, not from being taken: a chunk that slips in behind a reaper
    # is one of an attempt that readers have left behind.
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
    """Return the chunks after a position, in order, `limit` at most."""
    rows = session.execute(
        select(LogChunk.attempt, LogChunk.seq, LogChunk.text)
        .where(LogChunk.build_id == build_id, tuple_(LogChunk.attempt, LogChunk.seq) > tuple_(*after))
        .order_by(LogChunk.attempt, LogChunk.seq)
        .limit(limit)
    )
    return [(Position(row.attempt, row.seq), row.text) for row in rows]


def last_position(session: Session, build_id: int) -> Position:
    """Return where the log ends so far; START where nothing was written."""
    row = session.execute(
        select(LogChunk.attempt, LogChunk.seq)
        .where(LogChunk.build_id == build_id)
        .order_by(LogChunk.attempt.desc(), LogChunk.seq.desc())
        .limit(1)
    ).one_or_none()
    return START if row is None else Position(row.attempt, row.seq)


def tail(session: Session, build_id: int, *, limit: int = 4) -> str:
    """Return the end of the newest attempt's log, `limit` chunks at most."""
    end = last_position(session, build_id)
    rows = session.scalars(
        select(LogChunk.text)
        .where(LogChunk.build_id == build_id, LogChunk.attempt == end.attempt)
        .order_by(LogChunk.seq.desc())
        .limit(limit)
    )
    return "".join(reversed(rows.all()))
