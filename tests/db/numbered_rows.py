"""Insert thousands of rows with one statement, for tests of the indexes that queries use."""

from typing import Any

from sqlalchemy import ColumnElement, Integer, String, cast, insert, literal, literal_column, select
from sqlalchemy.orm import DeclarativeBase, Session

number: ColumnElement[int] = literal_column("numbers.number", Integer)
"""The number of the row: 1, 2, 3 and so on."""
commit: ColumnElement[str] = literal("c" * 33, String) + cast(number + 1_000_000, String)
"""A different commit for each row."""


def insert_rows(session: Session, model: type[DeclarativeBase], last: int, **values: Any) -> None:
    """Insert the rows 1 to `last`. Values can be expressions of `number`."""
    numbers = select(literal(1, Integer).label("number")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.number + 1).where(numbers.c.number < last))
    columns = model.metadata.tables[model.__tablename__]
    selected = [
        value if isinstance(value, ColumnElement) else literal(value, columns.c[name].type)
        for name, value in values.items()
    ]
    rows = insert(columns).from_select(list(values), select(*selected).select_from(numbers))
    session.connection().execute(rows)
