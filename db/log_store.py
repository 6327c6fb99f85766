"""The seam through which builders store logs, and through which web processes read and remove them.

The database is the only implementation today (`db.records.logs`). A store of ended logs elsewhere, such as S3,
keeps the running ones in the database.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from db.status import Lease


class Position(NamedTuple):
    """How far a reader has read: up to and including this chunk. Written `attempt.seq`, as in an SSE event id."""

    attempt: int
    seq: int

    def __str__(self) -> str:
        return f"{self.attempt}.{self.seq}"


START = Position(0, 0)


def parse_position(text: str) -> Position:
    """Return the position that `attempt.seq` names. Raises ValueError with the expected form."""
    attempt, dot, seq = text.strip().partition(".")
    if not (dot and attempt.isascii() and attempt.isdigit() and seq.isascii() and seq.isdigit()):
        raise ValueError("a log position must have the form ATTEMPT.CHUNK, such as 1.25")
    if max(len(attempt), len(seq)) > 9:
        raise ValueError("the log position is out of range")
    return Position(int(attempt), int(seq))


class LogStoreUnavailable(Exception):
    """The store does not answer; try again later."""


class LogStore(Protocol):
    """Stores each build's log as numbered chunks. Every method raises LogStoreUnavailable."""

    def append(self, lease: Lease, *, first_seq: int, texts: Sequence[str], now: datetime) -> bool:
        """Store chunks, numbered from `first_seq` on (the first is 1); return False if the lease is lost.

        A chunk that is already stored stays unchanged, so it is safe to send chunks again.
        """

    def read(self, build_id: int, *, after: Position = START, limit: int = 200) -> list[tuple[Position, str]]:
        """Return up to `limit` chunks after a position, in order."""

    def last_position(self, build_id: int) -> Position:
        """Return the position of the last chunk, or START if there is none."""

    def tail(self, build_id: int, *, limit: int = 4) -> str:
        """Return the text of the last chunks of the newest attempt, `limit` at most."""

    def remove(self, build_ids: Sequence[int]) -> None:
        """Remove the logs of these builds."""
