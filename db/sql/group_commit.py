"""One transaction for all that wait for one: on SQLite each commit waits for the disk, and only one may write.

When many deliveries arrive at once, most of their time would go into waiting for each other's commits. PostgreSQL
has several writers, and gathers commits by itself.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from db.database import Database

T = TypeVar("T")


class GroupCommit:
    """Runs pieces of work, each all or nothing, in as few write transactions as the disk can keep up with."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gate = threading.Lock()
        self._waiting: list[_QueuedWork[object]] = []
        self._is_led = False

    def run(self, work: Callable[[Session], T]) -> T:
        """Return what `work` returns once that is committed, or raise what it or the commit raised.

        `work` must change nothing but its session: it runs again, by itself, where another piece of its
        transaction failed.
        """
        if not self._database.is_sqlite:
            with self._database.write() as session:
                return work(session)
        piece = _QueuedWork(work)
        with self._gate:
            self._waiting.append(piece)  # type: ignore[arg-type]
            leads, self._is_led = not self._is_led, True
        if not leads:
            piece.woken.wait()
        if not piece.is_done:
            self._lead()
        return piece.result()

    def _lead(self) -> None:
        """Commit all that wait, our own piece among them, then leave the lead to the first that came meanwhile."""
        with self._gate:
            group, self._waiting = self._waiting, []
        try:
            self._commit(group)
        finally:
            with self._gate:
                self._is_led = bool(self._waiting)
                to_wake = [*group, *self._waiting[:1]]
            for piece in to_wake:
                piece.woken.set()

    def _commit(self, group: "list[_QueuedWork[object]]") -> None:
        has_begun = False
        try:
            with self._database.write() as session:
                session.connection()  # begins, or finds that another process does not let go of the database
                has_begun = True
                for piece in group:
                    piece.run(session)
        except Exception as exc:
            for piece in group:
                # None is to blame for a transaction that never began, and each would wait as long for its own.
                if has_begun and len(group) > 1:
                    self._commit([piece])
                else:
                    piece.error = exc
        for piece in group:
            piece.is_done = True


class _QueuedWork(Generic[T]):
    def __init__(self, work: Callable[[Session], T]) -> None:
        self._work = work
        self._answer: T | None = None
        self.error: Exception | None = RuntimeError("the transaction was abandoned")
        self.is_done = False
        self.woken = threading.Event()

    def run(self, session: Session) -> None:
        self._answer = self._work(session)
        # The next piece must not meet what this one has loaded and statements have changed since.
        session.flush()
        session.expunge_all()
        self.error = None

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self._answer  # type: ignore[return-value]
