"""`repo2hub builder`: a worker that builds what is queued, until a signal ends it."""

import os
import signal
import threading

import click

from builder.errors import InfrastructureError
from builder.settings import BuilderSettings
from builder.worker import serve
from db.database import Database
from repo2hub.commands.db import require_current_schema
from repo2hub.output import structured_logging
from repo2hub.output.errors import CommandFailed


@click.command()
def builder() -> None:
    """Build what is queued.

    On SIGTERM or Ctrl-C the running build goes back to the queue at once, and no attempt of it is used up.
    """
    settings = BuilderSettings.load()
    structured_logging.configure(settings.log_format)
    require_current_schema(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    database = Database(settings.database, channels=settings.channels)
    try:
        serve(settings, database, stop, os.environ)
    except InfrastructureError as exc:
        raise CommandFailed(exc.message) from exc
    finally:
        database.dispose()
