"""The database schema at the start of a process: migrate it, or require that it is current.

Hosts are upgraded one after another, and a process of the previous release may have to restart meanwhile. So a
process starts on the schema of a newer release, with a warning.
"""

from base.settings import SharedSettings
from db import migrate
from db.database import Database
from repo2hub.output.errors import CommandFailed
from repo2hub.output.terminal import Terminal

NEWER_SCHEMA = (
    "A newer release has migrated this database. Only the release right before it also works with that schema, so "
    "upgrade repo2hub on this host."
)


def migrate_database(settings: SharedSettings) -> bool:
    """Apply the missing migrations. Return False, without changes, if a newer release has migrated the database.

    An SQLite file that does not exist is created.
    """
    database = Database(settings.database)
    try:
        if migrate.is_newer(database):
            return False
        migrate.upgrade(database)
        return True
    finally:
        database.dispose()


def require_current_schema(settings: SharedSettings) -> None:
    """Raise CommandFailed if migrations are missing; warn if a newer release has migrated the database."""
    database = Database(settings.database)
    try:
        if migrate.is_newer(database):
            Terminal().note(NEWER_SCHEMA, "warn")
        elif not migrate.is_current(database):
            raise CommandFailed("The database schema is outdated. Run: repo2hub db upgrade")
    finally:
        database.dispose()
