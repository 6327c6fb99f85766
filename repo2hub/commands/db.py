"""`repo2hub db`: manage the database."""

import click

from base.settings import SharedSettings
from db.database import Database
from repo2hub.output.errors import CommandFailed
from repo2hub.output.terminal import Terminal
from repo2hub.startup.database_schema import NEWER_SCHEMA, migrate_database


@click.group()
def db() -> None:
    """Manage the database."""


@db.command()
def upgrade() -> None:
    """Migrate the database to the schema of this release.

    You can repeat this, and run it while web processes and builders run.
    """
    settings = SharedSettings.load()
    if not migrate_database(settings):
        raise CommandFailed(f"{NEWER_SCHEMA} Nothing was changed.")
    shown = Database(settings.database).url.render_as_string(hide_password=True)
    Terminal().echo(f"The database is up to date: {shown}", "good")
