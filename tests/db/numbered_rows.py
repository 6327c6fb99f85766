"""Thousands of rows by one statement, for tests of which index a large table is read by."""

from typing import Any

from sqlalchemy import ColumnElement, Integer, String, cast, insert, literal, literal_column, select
from sqlalchemy.orm import DeclarativeBase, Session

number: ColumnElement[int] = literal_column("numbers.number", Integer)
"""What differs from row to row: 1, 2, 3..."""
commit: ColumnElement[str] = literal("c" * 33, String) + cast(number + 1_000_000, String)
"""A commit of each row's own."""


def insert_rows(session: Session, model: type[DeclarativeBase], last: int, **values: Any) -> None:
    """Insert the rows 1 to `last`; a value may be an expression of `number`."""
    numbers = select(literal(1, Integer).label("number")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.number + 1).where(numbers.c.number < last))
    columns = model.metadata.tables[model.__tablename__]
    chosen = [
        value if isinstance(value, ColumnElement) else literal(value, columns.c[name].type)
        for name, value in values.items()
    ]
    rows = insert(columns).from_select(list(values), select(*chosen).select_from(numbers))
    session.connection().execute(rows)
