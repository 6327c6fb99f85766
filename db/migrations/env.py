"""The Alembic environment. Migrations must work while code of the previous release is still running."""

from typing import Literal

from alembic import context
from sqlalchemy import Connection, Engine, text

from base.settings import SharedSettings
from db import models, report_model  # noqa: F401 -- registers the tables
from db.columns import Base, EnumText, StorableText, UtcDateTime
from db.database import Database

_LOCK = 7031984  # an arbitrary number, the same in every process that migrates


def _engine() -> Engine:
    given: Engine | None = context.config.attributes.get("engine")
    return given if given is not None else Database(SharedSettings().database).engine


def _render_item(kind: str, item: object, _context: object) -> str | Literal[False]:
    # Migrations must not change with the models, so they name SQLAlchemy's column types instead of ours.
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, EnumText):
        return f"sa.String({EnumText.impl.length})"
    if kind == "type" and isinstance(item, StorableText):
        return "sa.Text()"
    return False


def _run(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # Replicas that start at the same time migrate one after the other. A migration that waits for a table's
        # lock blocks every query behind it, so it gives up after ten seconds.
        connection.execute(text("SET LOCAL statement_timeout = '300s'"))
        connection.execute(text("SET LOCAL lock_timeout = '300s'"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_server_default=True,
        render_item=_render_item,
    )
    context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("offline migrations are not supported: set REPO2HUB_DATABASE_URL to a running database")

with _engine().execution_options(begin="BEGIN IMMEDIATE").begin() as _connection:
    _run(_connection)
