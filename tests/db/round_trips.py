"""Counting round trips to PostgreSQL, by a proxy that sees what both sides send."""

import selectors
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

_SOCKET = ".s.PGSQL.5432"


@dataclass
class RoundTrips:
    """How often a client has sent something since the server answered last, and the database's URL to count on."""

    url: str
    count: int = 0


@contextmanager
def count_round_trips(url: str) -> Iterator[RoundTrips]:
    """Give another URL of a database whose server listens on a Unix socket; connections to it are counted."""
    server = str(Path(str(make_url(url).query["host"])) / _SOCKET)
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(Path(folder) / _SOCKET))
        listening.listen()
        counted = RoundTrips(
            make_url(url).update_query_dict({"host": folder}).render_as_string(hide_password=False)
        )
        threading.Thread(target=_accept, args=(listening, server, counted), daemon=True).start()
        yield counted
        listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, server: str, counted: RoundTrips) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:  # the end of the test
            return
        threading.Thread(target=_forward, args=(client, server, counted), daemon=True).start()


def _forward(client: socket.socket, server: str, counted: RoundTrips) -> None:
    with client, socket.socket(socket.AF_UNIX) as upstream, selectors.DefaultSelector() as selector:
        upstream.connect(server)
        selector.register(client, selectors.EVENT_READ, upstream)
        selector.register(upstream, selectors.EVENT_READ, client)
        has_answered = True
        while True:
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                data = key.fileobj.recv(65536)
                if not data:
                    return
                is_request = key.fileobj is client
                counted.count += is_request and has_answered
                has_answered = not is_request
                key.data.sendall(data)
