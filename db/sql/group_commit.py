"""Run the work of many deliveries in one transaction, side by side.

A commit waits for the disk, and on PostgreSQL each statement waits for a round trip. When many deliveries arrive
at once, they spend most of their time in those waits. So all work that arrives while a transaction runs shares the
next one, and the statements that its pieces run through `db.sql.driver` are sent together: a group takes as many
round trips as one piece. Each piece runs in a greenlet, which pauses at each of these statements.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from greenlet import getcurrent, greenlet
from sqlalchemy.orm import Session

from db.database import Database
from db.sql import driver

T = TypeVar("T")


class GroupCommit:
    """Runs pieces of work in as few transactions and round trips as possible.

    Each piece succeeds or fails as a whole.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gate = threading.Lock()
        self._waiting: list[_QueuedWork[object]] = []
        self._is_led = False

    def run(self, work: Callable[[Session], T], *, lock_order: int = 0) -> T:
        """Return the result of `work` once it is committed, or raise the error of `work` or of the commit.

        `work` must change nothing but its session: it runs again, by itself, if another piece of its transaction
        failed. The pieces of a transaction begin in the order of `lock_order`, such as the id of the row that they
        lock first: groups of several processes then wait for each other instead of deadlocking.
        """
        piece = _QueuedWork(work, lock_order)
        with self._gate:
            self._waiting.append(piece)  # type: ignore[arg-type]
            leads, self._is_led = not self._is_led, True
        if not leads:
            piece.woken.wait()
        if not piece.is_done:
            self._lead()
        return piece.result()

    def _lead(self) -> None:
        """Commit all waiting work including this thread's, then let the first piece that arrived meanwhile
        lead.
        """
        with self._gate:
            group, self._waiting = self._waiting, []
        try:
            self._commit(sorted(group, key=lambda piece: piece.lock_order))
        finally:
            with self._gate:
                self._is_led = bool(self._waiting)
                to_wake = [*group, *self._waiting[:1]]
            for piece in to_wake:
                piece.woken.set()

    def _commit(self, group: "Sequence[_QueuedWork[object]]") -> None:
        has_begun = False
        try:
            with self._database.write() as session:
                # Begins the transaction on SQLite, or fails because another process holds the lock.
                session.connection()
                has_begun = True
                _run_side_by_side(session, [piece.run for piece in group])
        except Exception as exc:
            for piece in group:
                # If the transaction did not begin, no piece caused it, and each retry would wait as long.
                if has_begun and len(group) > 1:
                    self._commit([piece])
                else:
                    piece.error = exc
        for piece in group:
            piece.is_done = True


class _QueuedWork(Generic[T]):
    def __init__(self, work: Callable[[Session], T], lock_order: int) -> None:
        self._work = work
        self.lock_order = lock_order
        self._answer: T | None = None
        self.error: Exception | None = RuntimeError("the transaction was abandoned")
        self.is_done = False
        self.woken = threading.Event()

    def run(self, session: Session) -> None:
        self._answer = self._work(session)
        self.error = None

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self._answer  # type: ignore[return-value]


def _run_side_by_side(session: Session, tasks: Sequence[Callable[[Session], object]]) -> None:
    """Run each task in the session's transaction; their statements are sent together, step by step."""
    hub = getcurrent()
    running = [greenlet(partial(_run_in_own_session, session, hub.switch, task)) for task in tasks]
    turns: list[tuple[greenlet, tuple[Any, ...]]] = [(one, ()) for one in running]
    try:
        while turns:
            paused = [(one, one.switch(*rows)) for one, rows in turns]
            asking = [(one, request) for one, request in paused if not one.dead]
            answers = driver.execute_all(session, [request for _, request in asking])
            turns = [(one, (rows,)) for (one, _), rows in zip(asking, answers, strict=True)]
    finally:
        for one in running:
            one.throw()  # end the tasks that were paused when another one failed


def _run_in_own_session(
    session: Session, ask: Callable[[driver.Request], Any], task: Callable[[Session], object]
) -> None:
    """Run a task in its own session on the shared transaction, so that it does not see objects of other tasks."""

    def execute(statement: driver.Statement, values: driver.Values) -> list[driver.Row]:
        # Once the session has executed something itself it holds a savepoint, and no other task may interleave.
        if own.in_transaction():
            return driver.execute(session, statement, values)
        rows: list[driver.Row] = ask((statement, values))
        return rows

    info = {**session.info, driver.EXECUTE_KEY: execute}
    mode: Any = {"join_transaction_mode": "create_savepoint", "expire_on_commit": False}
    with Session(session.connection(), info=info, **mode) as own:
        task(own)
        own.commit()
        session.info.update({name: value for name, value in own.info.items() if name != driver.EXECUTE_KEY})
