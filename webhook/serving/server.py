"""Running the web application: from the settings to the exit after SIGTERM."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from flask import Flask

from db.database import Database
from webhook.app import STREAMS, create_app
from webhook.serving import sockets
from webhook.serving.bridge import Bridge
from webhook.serving.connections import Connections, protocol_options
from webhook.settings import WebSettings
from webhook.streaming.log_streams import LogStreams

GRACE = 15.0
"""Seconds that requests have to be answered after SIGTERM."""
_ARRIVAL = 0.5
"""Seconds after SIGTERM in which a request may still arrive on a connection that is open."""

log = structlog.get_logger()


def run(settings: WebSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsError before anything is opened.

    The database must have this release's tables.
    """
    database = Database(settings.database, channels=settings.channels)
    try:
        serve(create_app(settings, database, environ=os.environ), settings)
    finally:
        database.dispose()


def serve(app: Flask, settings: WebSettings) -> None:
    """Serve a Flask application, which may have `STREAMS`, until SIGTERM or SIGINT."""
    listeners = sockets.listen(settings, os.environ)
    server = Server(app, settings.base_url, sockets.connection_limit())
    with _signals_end(server):
        log.info("web.listening", addresses=sockets.addresses(listeners), role=settings.role)
        server.run(sockets.multiply(listeners))


class Server(uvicorn.Server):
    """uvicorn, which also closes overdue connections, and answers what has arrived before it stops."""

    def __init__(self, app: Flask, base_url: str, connection_limit: int) -> None:
        self._bridge = Bridge(app, base_url.rstrip("/"))
        self._streams: LogStreams | None = app.extensions.get(STREAMS)
        self._connections = Connections(connection_limit)
        super().__init__(
            uvicorn.Config(
                self._bridge,
                loop="uvloop",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level="error",  # below it there is a line for each malformed request
                proxy_headers=False,
                server_header=False,
                backlog=sockets.BACKLOG,
                timeout_graceful_shutdown=1,
                **protocol_options(),
            )
        )
        self.server_state = self._connections

    async def on_tick(self, counter: int) -> bool:
        """Do each second what is to be done then; return whether to stop."""
        if counter % 10 == 0:
            self._connections.close_overdue()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, end the streams, answer what has arrived, and close what is left after GRACE."""
        for listener in self.servers:
            listener.close()
        self._bridge.is_stopping = True
        if self._streams is not None:
            self._streams.close()
        await asyncio.sleep(_ARRIVAL)
        for connection in list(self._connections.connections):
            connection.shutdown()
        deadline = asyncio.get_running_loop().time() + GRACE - _ARRIVAL
        while self._connections.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
        self._connections.close_all()
        await super().shutdown(sockets)


@contextmanager
def _signals_end(server: Server) -> Iterator[None]:
    """Let a signal end the server and not the process: uvicorn raises it again when it has stopped."""
    before = {number: signal.signal(number, server.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
