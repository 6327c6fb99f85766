"""Connect to SQLite or PostgreSQL behind one interface."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.orm import Session

WORK_CHANNEL = "repo2hub_work"
"""The PostgreSQL channel that notifies builders of queued builds."""

_WORK_KEY = "repo2hub.work"
"""The key in `Session.info` that marks a transaction that queued a build."""

WEB_POOL_SIZE, WEB_READ_POOL_SIZE = 10, 5
BUILDER_POOL_SIZE, BUILDER_READ_POOL_SIZE = 3, 1
"""How many connections a process keeps to PostgreSQL, at most: a web process 15, a builder 4 and one to listen on.

So three web processes and ten builders stay within PostgreSQL's default of 100.
"""

CHANNELS_KEY = "repo2hub.channels"
"""The key in `Session.info` of the channels that get a report of each status change."""

_CONNECT_SQLITE = {"timeout": 30, "check_same_thread": False}

# A host that disappears must not keep its locks, which PostgreSQL would hold for two hours. Keepalives do not
# notice data that is never acknowledged: Linux resends it for 15 minutes, in which a heartbeat would hang and
# another builder would claim the build.
_KEEPALIVE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_PING_AFTER = 1.0
"""Seconds of idle time after which a connection is tested before it is used again."""
_IDLE_SINCE = "repo2hub.idle_since"

_TIME_LIMITS = {
    "statement_timeout": 30_000,
    "lock_timeout": 10_000,
    "idle_in_transaction_session_timeout": 60_000,
}


class Database:
    """A database: sessions for reading and sessions for writing.

    On SQLite a write transaction begins with BEGIN IMMEDIATE under a lock of this process: SQLite has one
    writer, and a queue in front of it is fairer than its busy handler (p99 101 instead of 500 ms).
    """

    def __init__(
        self,
        url: str,
        *,
        channels: Sequence[str] = (),
        pool_size: int = WEB_POOL_SIZE,
        read_pool_size: int = WEB_READ_POOL_SIZE,
    ) -> None:
        """Prepare the connections without opening any.

        `channels` get a report of each change of a build's status, see `db.queue.outbox`. On PostgreSQL at most
        `pool_size` connections are open for sessions and `read_pool_size` for `db.sql.driver.read`; whoever finds
        all of them in use waits.
        """
        self.url = make_url(url)
        self._info = {CHANNELS_KEY: tuple(channels)} if channels else None
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(url) if self.is_sqlite else _postgresql_engine(url, pool_size)
        self.read_pool = _read_pool(self.engine, read_pool_size)
        """Connections for single SELECTs, see `db.sql.driver`: they begin no transaction."""
        self._writing = self.engine.execution_options(begin="BEGIN IMMEDIATE")
        # Each statement sees what is committed, in a transaction or not. Autocommit saves the round trips for
        # BEGIN and ROLLBACK, and no transaction stays open while a page is rendered.
        self._reading = (
            self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        )
        self._write_lock = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Provide a session for reading. Loaded objects stay usable after it is closed."""
        with Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """Provide a session for reading in which all statements see the same state of the database."""
        level = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with Session(self.engine.execution_options(**level), expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Provide a session that commits at the end of the block and rolls back on an exception."""
        with self._write_lock if self.is_sqlite else nullcontext(), self._session() as session:
            with session.begin():
                yield session
            if _WORK_KEY in session.info:
                self._notify_work()

    def _notify_work(self) -> None:
        """Notify the builders; if that fails, they find the build at their next poll.

        In a transaction of its own: NOTIFY holds a lock of the whole server until its transaction is on disk.
        """
        with suppress(SQLAlchemyError), self._reading.connect() as connection:
            connection.exec_driver_sql(f"NOTIFY {WORK_CHANNEL}")

    def _session(self) -> Session:
        return Session(self._writing, expire_on_commit=False, info=self._info)

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        self.read_pool.dispose()


def _postgresql_engine(url: str, pool_size: int) -> Engine:
    # No overflow: opening a connection for a moment costs more than waiting for one.
    engine = create_engine(url, pool_size=pool_size, max_overflow=0, connect_args=_connect_postgresql())
    event.listen(engine, "checkin", _note_idle)
    event.listen(engine, "checkout", partial(_ping_if_idle, engine))
    return engine


def _note_idle(_connection: Any, record: Any) -> None:
    record.info[_IDLE_SINCE] = time.monotonic()


def _ping_if_idle(engine: Engine, connection: Any, record: Any, _proxy: Any) -> None:
    """Replace a connection that broke while it was idle, as all do when the server restarts.

    SQLAlchemy's `pool_pre_ping` tests at each checkout, which is three round trips more for each transaction.
    """
    if time.monotonic() - record.info.get(_IDLE_SINCE, time.monotonic()) < _PING_AFTER:
        return
    try:
        engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error as exc:
        raise DisconnectionError from exc


def _connect_postgresql() -> dict[str, Any]:
    options = " ".join(f"-c {name}={milliseconds}" for name, milliseconds in _TIME_LIMITS.items())
    return {"connect_timeout": 10, "options": options, **_KEEPALIVE}


def _sqlite_engine(url: str) -> Engine:
    database = make_url(url).database
    if database and database != ":memory:":
        Path(database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # No limit: a connection is only a file, and a writer that waits for one could deadlock with readers that
    # wait for it.
    engine = _prepare_connects(
        create_engine(url, pool_size=10, max_overflow=-1, connect_args=_CONNECT_SQLITE)
    )
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_connects(engine: Engine) -> Engine:
    """Prepare each new connection."""
    event.listen(engine, "do_connect", _create_private_file)
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _read_pool(engine: Engine, size: int) -> Engine:
    """Return a second pool for the same database, in autocommit mode."""
    is_sqlite = engine.dialect.name == "sqlite"
    connect = _CONNECT_SQLITE if is_sqlite else {**_connect_postgresql(), "autocommit": True}
    # A read takes a fraction of a millisecond, so a few connections serve many threads.
    reads = create_engine(
        engine.url, pool_size=size, max_overflow=0, pool_reset_on_return=None, connect_args=connect
    )
    return _prepare_connects(reads) if is_sqlite else reads


def _create_private_file(_dialect: Any, _record: Any, arguments: Sequence[Any], _more: Any) -> None:
    """Create a missing database file readable only by its owner: it holds the logs of private repositories.

    SQLite would make it readable to all, and gives the files beside it the same mode.
    """
    path = arguments[0]
    if path != ":memory:" and not Path(path).exists():
        with suppress(OSError):  # SQLite reports the reason
            os.close(os.open(path, os.O_CREAT, 0o600))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver would begin deferred transactions itself; see SQLAlchemy's documentation,
    # "Serializable isolation / Savepoints / Transactional DDL" of the SQLite dialect.
    connection.isolation_level = None
    cursor = connection.cursor()
    _use_wal(cursor)
    # With NORMAL a commit does not wait for the disk, and a power failure could lose an acknowledged push, which
    # GitHub does not redeliver. FULL costs one fsync per commit.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Enable WAL mode.

    Retries, because SQLite does not wait while another connection does the same to a new file.
    """
    until = time.monotonic() + _CONNECT_SQLITE["timeout"]
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def notify_work(session: Session) -> None:
    """Notify the builders when the transaction is committed. On SQLite they poll instead."""
    if session.get_bind().dialect.name == "postgresql":
        session.info[_WORK_KEY] = True
