"""`repo2hub db upgrade`, and the question of each role at its start: was it done?

Hosts are upgraded one after another, and a process of the release before may have to start again meanwhile. So it
works on a newer release's tables, and says so.
"""

import click

from base.settings import SharedSettings
from db import migrate
from db.database import Database
from repo2hub.output.errors import CommandFailed
from repo2hub.output.terminal import Terminal

NEWER_SCHEMA = (
    "The database was upgraded by a newer release. The release right before that one works on its tables, "
    "an older one may not"
)


@click.group()
def db() -> None:
    """Look after the database."""


@db.command()
def upgrade() -> None:
    """Bring the database to this release's tables; safe to repeat, and while others do it."""
    settings = SharedSettings.load()
    if not migrate_database(settings):
        raise CommandFailed(f"{NEWER_SCHEMA}: upgrade this host, too. Nothing was changed.")
    shown = Database(settings.database).url.render_as_string(hide_password=True)
    Terminal().echo(f"The database is up to date: {shown}", "good")


def migrate_database(settings: SharedSettings) -> bool:
    """Apply what is missing, and return False where a newer release has applied more than this one knows.

    The database is made where it is a file that does not exist.
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
    """Raise CommandFailed, with the command that mends it, where this release's tables are not all there."""
    database = Database(settings.database)
    try:
        if migrate.is_newer(database):
            Terminal().note(f"{NEWER_SCHEMA}: upgrade this host, too.", "warn")
        elif not migrate.is_current(database):
            raise CommandFailed("The database has not this release's tables. Run: repo2hub db upgrade")
    finally:
        database.dispose()
