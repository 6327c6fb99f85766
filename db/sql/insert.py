"""INSERT … ON CONFLICT for both databases; SQLAlchemy has it only per dialect.

The statements are built once for each table: building one takes ten times longer than running it.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import TextClause

from db.columns import Base
from db.sql import driver


def insert_into(dialect: str, model: type[Base]) -> Any:
    """Return the dialect's INSERT, which supports ON CONFLICT."""
    return (postgresql if dialect == "postgresql" else sqlite).insert(model.__table__)


def dialect_of(session: Session) -> str:
    """Return "postgresql" or "sqlite"."""
    return session.get_bind().dialect.name


@cache
def _insert_missing(dialect: str, model: type[Base], key: tuple[str, ...], where: TextClause | None) -> Any:
    return insert_into(dialect, model).on_conflict_do_nothing(index_elements=key, index_where=where)


@cache
def _insert_new(dialect: str, model: type[Base], key: tuple[str, ...], where: TextClause | None) -> Any:
    return _insert_missing(dialect, model, key, where).returning(*model.__table__.primary_key)


@cache
def _upsert(dialect: str, model: type[Base], key: tuple[str, ...], changed: tuple[str, ...]) -> Any:
    statement = insert_into(dialect, model)
    new = {name: statement.excluded[name] for name in changed}
    return statement.on_conflict_do_update(index_elements=key, set_=new)


def insert_new(
    session: Session,
    model: type[Base],
    values: Mapping[str, Any],
    *,
    key: Iterable[str],
    where: TextClause | None = None,
) -> Any | None:
    """Insert a row and return its primary key, or None if a row with the same `key` exists.

    `where` names the partial unique index that the key belongs to.
    """
    statement = _insert_new(dialect_of(session), model, tuple(key), where)
    rows = driver.execute(session, statement, values)
    return rows[0][0] if rows else None


def insert_missing(
    session: Session, model: type[Base], rows: Sequence[Mapping[str, Any]], *, key: Iterable[str]
) -> None:
    """Insert the rows whose `key` does not exist."""
    if rows:
        session.execute(_insert_missing(dialect_of(session), model, tuple(key), None), rows)


def upsert(session: Session, model: type[Base], *, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Insert a row, or update the row with the same `key`."""
    session.execute(_upsert(dialect_of(session), model, tuple(key), tuple(values)), {**key, **values})
