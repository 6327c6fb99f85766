"""Run frequent statements directly on the database driver.

Two things happen in front of somebody who waits: a lookup, and a push. Around statements as small as theirs
SQLAlchemy's own work is four fifths of the time. So it builds such a statement, once for each dialect, says how a
value is written and read, and keeps connections and transactions; what is left for each run is the driver's.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnDefault, Connection, Dialect, PoolProxiedConnection, Select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from db.database import Database

Statement = Any
"""A SELECT, or an INSERT or UPDATE that may have a RETURNING: SQLAlchemy has no public type for just these."""
Row = tuple[Any, ...]
Values = Mapping[str, Any]
Request = tuple[Statement, Values]
_Convert = Callable[[Any], Any] | None

EXECUTE_KEY = "repo2hub.execute"
"""The key in `Session.info` of a function that `execute` calls to run a statement instead of running it itself."""

_CONNECTION_KEY = "repo2hub.connection"
"""The key in `Session.info` of the cached `Session.connection()`, whose call costs a third of a statement."""


class _Prepared(NamedTuple):
    sql: str
    is_positional: bool
    binds: Sequence[tuple[str, _Convert]]
    """The parameter names in the driver's order, and how to convert each value."""
    constants: Values
    """Values that the statement itself sets."""
    columns: Sequence[_Convert]
    """How to convert the values of a row."""


def read(database: Database, statement: Statement, values: Values) -> list[Row]:
    """Run a SELECT in its own transaction and return its rows.

    Raises DBAPIError, or SQLAlchemy's TimeoutError where no connection becomes free.
    """
    try:
        return _read(database, statement, values)
    except DBAPIError as exc:
        if not exc.connection_invalidated:
            raise
        # Testing each connection first would double the round trips. A connection that broke while idle is noticed
        # here, and the others are broken too.
        database.read_pool.dispose()
        return _read(database, statement, values)


def _read(database: Database, statement: Statement, values: Values) -> list[Row]:
    connection = _connection(database)
    try:
        return _run(connection, database.read_pool.dialect, statement, values)
    except DBAPIError:
        # Its state is unknown, so it must not be reused.
        connection.invalidate()
        raise
    finally:
        connection.close()


def _connection(database: Database) -> PoolProxiedConnection:
    dialect = database.read_pool.dialect
    try:
        return database.read_pool.raw_connection()
    except dialect.loaded_dbapi.Error as exc:  # `raw_connection` raises the driver's own errors
        raise _wrap_driver_error(exc, dialect) from exc


def execute(session: Session, statement: Statement, values: Values) -> list[Row]:
    """Run a statement in the transaction of a session and return its rows, if any. Raises DBAPIError.

    It does not see what the session has not flushed.
    """
    instead: Callable[[Statement, Values], list[Row]] | None = session.info.get(EXECUTE_KEY)
    if instead is not None:
        return instead(statement, values)
    connection = _session_connection(session)
    return _run(connection.connection, connection.dialect, statement, values)


def execute_all(session: Session, requests: Sequence[Request]) -> list[list[Row]]:
    """Do as `execute` for each request, on PostgreSQL in one round trip.

    Equal statements run together there, so the order is that of the requests only among these.
    """
    connection = _session_connection(session)
    raw, dialect = connection.connection, connection.dialect
    if dialect.name != "postgresql" or len(requests) <= 1:
        return [_run(raw, dialect, *request) for request in requests]
    places: dict[tuple[Statement, tuple[str, ...]], list[int]] = {}
    for place, (statement, values) in enumerate(requests):
        places.setdefault((statement, tuple(values)), []).append(place)
    batches = [
        (_prepare(dialect, *key), [requests[place][1] for place in where]) for key, where in places.items()
    ]
    found: list[list[Row]] = [[] for _ in requests]
    for where, results in zip(places.values(), _run_batches(raw, dialect, batches), strict=True):
        for place, rows in zip(where, results, strict=True):
            found[place] = rows
    return found


def _run_batches(
    connection: PoolProxiedConnection, dialect: Dialect, batches: Sequence[tuple[_Prepared, Sequence[Values]]]
) -> list[list[list[Row]]]:
    driver_connection: Any = connection.driver_connection
    sent: list[tuple[_Prepared, Any]] = []
    try:
        with driver_connection.pipeline():
            for prepared, every in batches:
                cursor = driver_connection.cursor()
                parameters = [_parameters(prepared, values) for values in every]
                cursor.executemany(prepared.sql, parameters, returning=bool(prepared.columns))
                sent.append((prepared, cursor))
        return [
            [_read_rows(prepared, result.fetchall()) for result in cursor.results()]
            if prepared.columns
            else [[] for _ in every]
            for (prepared, cursor), (_, every) in zip(sent, batches, strict=True)
        ]
    except dialect.loaded_dbapi.Error as exc:
        raise _wrap_driver_error(exc, dialect, connection) from exc


def _session_connection(session: Session) -> Connection:
    connection: Connection | None = session.info.get(_CONNECTION_KEY)
    if connection is None or connection.closed:  # because its transaction has ended
        connection = session.info[_CONNECTION_KEY] = session.connection()
    return connection


def _run(
    connection: PoolProxiedConnection, dialect: Dialect, statement: Statement, values: Values
) -> list[Row]:
    prepared = _prepare(dialect, statement, tuple(values))
    parameters = _parameters(prepared, values)
    try:
        cursor = connection.cursor()
        cursor.execute(prepared.sql, parameters)
        return _read_rows(prepared, cursor.fetchall()) if prepared.columns else []
    except dialect.loaded_dbapi.Error as exc:
        raise _wrap_driver_error(exc, dialect, connection, prepared.sql) from exc


def _parameters(prepared: _Prepared, values: Values) -> Any:
    given = {**prepared.constants, **values}
    written = [(name, given[name] if write is None else write(given[name])) for name, write in prepared.binds]
    return [value for _, value in written] if prepared.is_positional else dict(written)


def _read_rows(prepared: _Prepared, rows: Sequence[Row]) -> list[Row]:
    return [
        tuple(
            [
                value if read is None else read(value)
                for read, value in zip(prepared.columns, row, strict=True)
            ]
        )
        for row in rows
    ]


def _wrap_driver_error(
    exc: Exception, dialect: Dialect, connection: PoolProxiedConnection | None = None, sql: str | None = None
) -> BaseException:
    driver_connection: Any = None if connection is None else connection.driver_connection
    is_broken = dialect.is_disconnect(exc, driver_connection, None)  # type: ignore[arg-type]
    return DBAPIError.instance(
        sql,
        None,
        exc,
        dialect.loaded_dbapi.Error,
        connection_invalidated=is_broken,
        dialect=dialect,
    )


@cache
def _prepare(dialect: Dialect, statement: Statement, given: tuple[str, ...]) -> _Prepared:
    compiled: SQLCompiler = statement.compile(dialect=dialect, column_keys=list(given))
    types = {name: bind.type for bind, name in compiled.bind_names.items()}
    constants = {
        name: bind.effective_value for bind, name in compiled.bind_names.items() if not bind.required
    }
    # Defaults of columns without a value.
    constants |= {column.key: _default(column) for column in compiled.insert_prefetch}
    is_select = isinstance(statement, Select)
    columns = statement.column_descriptions if is_select else statement.returning_column_descriptions
    return _Prepared(
        str(compiled),
        compiled.positional,
        [(name, _bind_processor(types[name], dialect)) for name in compiled.positiontup or types],
        constants,
        [_result_processor(column["type"], dialect) for column in columns],
    )


def _default(column: Column[Any]) -> Any:
    assert isinstance(column.default, ColumnDefault)  # noqa: S101 -- we use no other kind
    return column.default.arg


def _bind_processor(kind: TypeEngine[Any], dialect: Dialect) -> _Convert:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _result_processor(kind: TypeEngine[Any], dialect: Dialect) -> _Convert:
    return kind.dialect_impl(dialect).result_processor(dialect, None)
