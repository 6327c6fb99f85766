"""Serving the web application: one gunicorn process with hundreds of threads.

One process, because SQLite has one writer and a build one tailer; threads, because an open log is a request that
lasts. There are always THREADS_BESIDE_STREAMS more threads than streams may be open, so that a delivery finds one.
"""

import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType
from typing import Any

import structlog
from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from db.database import Database
from webhook.app import STREAMS, create_app
from webhook.settings import WebSettings
from webhook.streaming.log_streams import LogStreams

THREADS_BESIDE_STREAMS = 100
GRACE = 15
"""Seconds that open requests have to end after SIGTERM."""

SEND_LIMIT = 60
"""Seconds that a client may leave an answer unread; then its connection, and with it the thread, is given up."""

READ_LIMIT = 30
"""Seconds after which no more of a request is waited for. GitHub itself gives a delivery up after 10; the largest,
of 25 MiB, comes in time at 7 Mbit/s.
"""

LINGER = 2
"""Seconds that a client has to take leave after the last answer of its connection."""

log = structlog.get_logger()


def run(settings: WebSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsError before anything is opened.

    The database must have this release's tables.
    """
    process = os.getpid()
    database = Database(settings.database, channels=settings.channels)
    app = create_app(settings, database, environ=os.environ)
    try:
        Server(app, settings).run()
    except SystemExit as exc:
        if os.getpid() != process:
            # The worker, a fork of this process: what our caller has open is not the worker's to close.
            logging.shutdown()
            os._exit(exc.code if isinstance(exc.code, int) else 0)
        if exc.code:
            raise
    finally:
        database.dispose()


class _Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun: dict[Any, float] = {}
        """When a thread took up a connection, of those that may still be read."""

    def init_process(self) -> None:
        limit_sends(self.sockets, SEND_LIMIT)
        super().init_process()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the open logs: their viewers come back to whoever serves next, and nobody waits for them."""
        streams: LogStreams = self.wsgi.extensions[STREAMS]
        streams.close()
        super().handle_exit(sig, frame)

    def handle(self, conn: Any) -> Any:
        """Serve one request of a connection, in a thread of its own, and say what becomes of the connection."""
        self._begun[conn] = time.monotonic()
        fate = super().handle(conn)
        if self._begun.pop(conn, None) is None:
            fate = False
        if fate is False:
            take_leave(conn.sock)
        return fate

    def notify(self) -> None:
        """Say that the worker lives, which gunicorn does each second, and end the reads that take too long.

        Answers, and so streams, go on: the connection is ended for reading alone, and closed once they are sent.
        """
        super().notify()
        earliest = time.monotonic() - READ_LIMIT
        # A copy is made in one step, whatever the other threads do.
        for conn, begun in self._begun.copy().items():
            if begun < earliest and self._begun.pop(conn, None) is not None:
                with suppress(OSError):  # the client has gone already
                    conn.sock.shutdown(socket.SHUT_RD)


class _Logger(Logger):  # type: ignore[misc]
    def setup(self, cfg: Any) -> None:
        """Let gunicorn's own messages go the way of all others."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn as we set it up, for any application that names its `STREAMS`."""

    def __init__(self, app: Flask, settings: WebSettings) -> None:
        self._app = app
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        threads = self._settings.stream_limit + THREADS_BESIDE_STREAMS
        host = self._settings.host
        options: dict[str, Any] = {
            "bind": f"[{host}]:{self._settings.port}" if ":" in host else f"{host}:{self._settings.port}",
            "worker_class": _Worker,
            "workers": 1,
            "threads": threads,
            "worker_connections": threads + 1000,
            "keepalive": 75,  # longer than the 60 s after which load balancers give up an idle connection
            "graceful_timeout": GRACE,
            "timeout": 60,
            "accesslog": None,
            "loglevel": "warning",
            "logger_class": _Logger,
            "control_socket_disable": True,
            "when_ready": self._say_where,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def _say_where(self, arbiter: Any) -> None:
        addresses = [str(listener) for listener in arbiter.LISTENERS]
        log.info("web.listening", addresses=addresses, role=self._settings.role)

    def load(self) -> Callable[..., Any]:
        return self._app


def limit_sends(listeners: Iterable[Any], seconds: int) -> None:
    """Let no send take longer, on any connection that these sockets (or gunicorn's wrappers of them) accept.

    Linux hands the option on from the socket that listens; Python's own time-outs would concern reads, too.
    """
    for listener in listeners:
        sock = getattr(listener, "sock", listener)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", seconds, 0))


def take_leave(sock: socket.socket) -> None:
    """End both directions of a connection, after the client has ended its own or LINGER is over.

    Whoever closes while the client still sends takes its answer away (RFC 9112, 9.6). gunicorn waits too, but in
    the one thread that accepts connections; after this it has nothing to wait for.
    """
    deadline = time.monotonic() + LINGER
    with suppress(OSError):  # the client is gone, or did not go in time
        sock.shutdown(socket.SHUT_WR)
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            if not sock.recv(2**16):
                break
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RD)
