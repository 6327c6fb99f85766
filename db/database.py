"""Connecting to SQLite and PostgreSQL, so that the rest of the code need not know which it is."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

WORK_CHANNEL = "repo2hub_work"
"""The PostgreSQL channel on which `db.queue.transitions` says that a build may be claimed."""

CHANNELS_KEY = "repo2hub.channels"
"""Under this name a session that writes knows who is to be told of what it changes."""

_CONNECT_SQLITE = {"timeout": 30, "check_same_thread": False}

# A host that vanished must not keep its locks, nor be waited for: PostgreSQL would hold them for two hours.
# Keepalives do not see what was sent and never acknowledged: Linux repeats it for a quarter of an hour, in which a
# heartbeat would hang and another builder take the build.
_KEEPALIVE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_TIME_LIMITS = {
    "statement_timeout": 30_000,
    "lock_timeout": 10_000,
    "idle_in_transaction_session_timeout": 60_000,
}


class Database:
    """One database: sessions that read and sessions that write.

    On SQLite a write transaction begins with BEGIN IMMEDIATE under a lock of this process: SQLite has one
    writer, and a queue in front of it is fairer than its busy handler (p99 101 instead of 500 ms).
    """

    def __init__(self, url: str, *, channels: Sequence[str] = ()) -> None:
        """Connect to nothing yet. `channels`: who is told of each change of a build's status; see `db.queue.outbox`."""
        self.url = make_url(url)
        self._info = {CHANNELS_KEY: tuple(channels)} if channels else None
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(url) if self.is_sqlite else _postgresql_engine(url)
        self.read_pool = _read_pool(self.engine)
        """Connections for single SELECTs, see `db.sql.driver`: nothing is begun on them, nothing to be rolled back."""
        self._writing = self.engine.execution_options(begin="BEGIN IMMEDIATE")
        # In a transaction or not, each statement sees what is committed: so no round trips for BEGIN and ROLLBACK,
        # and no transaction that stays open while a page is written.
        self._reading = (
            self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        )
        self._write_lock = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session for reading; what it loaded stays usable after it is closed."""
        with Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """Give a session for reading all of whose statements see the database as it was at the first of them."""
        level = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with Session(self.engine.execution_options(**level), expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Give a session whose work is committed at the end of the block, or rolled back by an exception."""
        if not self.is_sqlite:
            with self._session() as session, session.begin():
                yield session
            return
        with self._write_lock, self._session() as session, session.begin():
            yield session

    def _session(self) -> Session:
        return Session(self._writing, expire_on_commit=False, info=self._info)

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        self.read_pool.dispose()


def _postgresql_engine(url: str) -> Engine:
    return create_engine(
        url, pool_pre_ping=True, pool_size=10, max_overflow=30, connect_args=_connect_postgresql()
    )


def _connect_postgresql() -> dict[str, Any]:
    options = " ".join(f"-c {name}={milliseconds}" for name, milliseconds in _TIME_LIMITS.items())
    return {"connect_timeout": 10, "options": options, **_KEEPALIVE}


def _sqlite_engine(url: str) -> Engine:
    database = make_url(url).database
    if database and database != ":memory:":
        Path(database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # No limit: a connection is a file, and a writer that waits for one would wait for readers that wait for it.
    engine = _prepare_connects(
        create_engine(url, pool_size=10, max_overflow=-1, connect_args=_CONNECT_SQLITE)
    )
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_connects(engine: Engine) -> Engine:
    """Prepare each connection that the engine is going to make."""
    event.listen(engine, "do_connect", _create_private_file)
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _read_pool(engine: Engine) -> Engine:
    """Return the same database by a few other connections, on which each statement stands for itself."""
    is_sqlite = engine.dialect.name == "sqlite"
    connect = _CONNECT_SQLITE if is_sqlite else {**_connect_postgresql(), "autocommit": True}
    # A read takes a fraction of a millisecond, so few serve many threads. None beyond those that stay open: to
    # open one for a moment costs more than to wait for one.
    reads = create_engine(
        engine.url, pool_size=8, max_overflow=0, pool_reset_on_return=None, connect_args=connect
    )
    return _prepare_connects(reads) if is_sqlite else reads


def _create_private_file(_dialect: Any, _record: Any, arguments: Sequence[Any], _more: Any) -> None:
    """Make the file, if it is not there, for nobody else: it holds the logs of private repositories.

    SQLite would make it readable to all, and gives the files beside it the same mode.
    """
    path = arguments[0]
    if path != ":memory:" and not Path(path).exists():
        with suppress(OSError):  # SQLite says why not
            os.close(os.open(path, os.O_CREAT, 0o600))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver would begin transactions by itself, and always deferred ones: SQLAlchemy's documentation,
    # "Serializable isolation / Savepoints / Transactional DDL" of the SQLite dialect.
    connection.isolation_level = None
    cursor = connection.cursor()
    _use_wal(cursor)
    # NORMAL would not wait for the disk, and a power cut could take back a push that was acknowledged. GitHub does
    # not send it again, and the head it moved would be trusted as it was. It costs one fsync for each commit.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Let the file be in WAL mode. The first connections to a new one meet here, and SQLite does not wait then."""
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
    """Call the builders when the transaction commits; on SQLite they look by themselves."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"NOTIFY {WORK_CHANNEL}"))
