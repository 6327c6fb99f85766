"""`repo2hub builder`: run a worker that builds queued images, until a signal stops it."""

import os
import signal
import threading

import click

from builder.errors import InfrastructureError
from builder.main import serve
from builder.settings import BuilderSettings
from db.database import BUILDER_POOL_SIZE, BUILDER_READ_POOL_SIZE, Database
from repo2hub.output import structured_logging
from repo2hub.output.errors import CommandFailed
from repo2hub.startup.database_schema import require_current_schema


@click.command()
def builder() -> None:
    """Run a builder, which builds queued images.

    On SIGTERM or Ctrl-C the running build goes back to the queue at once, without using up an attempt.
    """
    settings = BuilderSettings.load()
    structured_logging.configure(settings.log_format)
    require_current_schema(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    database = Database(
        settings.database,
        channels=settings.channels,
        pool_size=BUILDER_POOL_SIZE,
        read_pool_size=BUILDER_READ_POOL_SIZE,
    )
    try:
        serve(settings, database, stop, os.environ)
    except InfrastructureError as exc:
        raise CommandFailed(exc.message) from exc
    finally:
        database.dispose()
