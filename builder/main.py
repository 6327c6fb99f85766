"""Put a builder process together: the only module that names the implementations of the seams."""

import threading
from collections.abc import Mapping

from builder.context import BuilderContext
from builder.engine import memory_limit
from builder.engine.docker_client import Engine
from builder.reports.channels import notifiers
from builder.reports.dispatch import ReportDispatcher
from builder.settings import BuilderSettings
from builder.worker import Worker
from db.database import Database
from db.queue.database_wake_up import database_wake_up
from db.records.logs import DatabaseLogStore


def serve(
    settings: BuilderSettings, database: Database, stop: threading.Event, environ: Mapping[str, str]
) -> None:
    """Run builds until `stop` is set, then release the running ones and return.

    Raises InfrastructureError, before claiming anything, where every build would fail with it.
    """
    if settings.build_memory_limit is None:
        memory_limit.remove_limit()
    else:
        memory_limit.require_limit(settings.build_memory_limit, _cgroup_driver)
    context = BuilderContext.of(settings, environ)
    wake_up = database_wake_up(database)
    try:
        with ReportDispatcher(notifiers(settings), database):
            Worker(context, database, DatabaseLogStore(database), wake_up, stop).serve()
    finally:
        wake_up.close()
        context.workspaces.close()


def _cgroup_driver() -> str:
    with Engine() as engine:
        return engine.cgroup_driver()
