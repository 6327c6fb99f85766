"""HTTP connections with a deadline for everything that a client has to do.

uvicorn's protocol closes a connection that is kept alive without a request, and nothing else. Here a request's
header has a deadline and a maximum size, an answer must be read, and where all file descriptors are in use the
connections that have waited longest are closed. So no number of idle or slow clients keeps a delivery out.
"""

import asyncio
import socket
import struct
import time
from contextlib import suppress
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

HEADER_LIMIT = 30.0
"""Seconds from the beginning of a connection, or the first byte of a further request, to the end of its header."""
MAX_HEADER = 64 * 1024
"""Bytes of a request line with all headers."""
SEND_LIMIT = 60.0
"""Seconds that a client may leave an answer, or a piece of a stream, unread."""
KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: longer than the 60 s after which load balancers give one up."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

log = structlog.get_logger()


class Connections(ServerState):
    """All connections of the process, `limit` at most."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def make_room(self) -> None:
        """Where the limit is reached, close some of the connections that have waited longest for a request."""
        if len(self.connections) < self._limit:
            return
        idle = [one for one in self.connections if isinstance(one, Connection) and one.is_idle]
        oldest = sorted(idle, key=lambda one: one.waits_since)[: max(1, self._limit // 20)]
        log.warning("web.connections_closed", reason="limit reached", limit=self._limit, closed=len(oldest))
        for one in oldest:
            one.reset()

    def close_overdue(self) -> None:
        """Close every connection whose client has missed a deadline."""
        now = time.monotonic()
        for one in list(self.connections):
            if isinstance(one, Connection) and one.is_overdue(now):
                one.reset()

    def close_all(self) -> None:
        """Close every connection, whatever it is doing."""
        for one in list(self.connections):
            one.transport.abort()


class Connection(HttpToolsProtocol):
    """One connection. Overrides what asyncio calls, and nothing of uvicorn's own."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, whose first header is to come."""
        if isinstance(self.server_state, Connections):
            self.server_state.make_room()
        self.waits_since = time.monotonic()
        self._header_since: float | None = self.waits_since
        self._header_size = 0
        self._unread_since: float | None = None
        super().connection_made(transport)

    @property
    def is_idle(self) -> bool:
        """Whether no request has arrived that is still to be answered."""
        return self.cycle is None or self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """Take what has arrived of a request."""
        if self.is_idle and self._header_since is None:
            self._header_since = time.monotonic()
        super().data_received(data)
        if not self.is_idle:
            self._header_since, self._header_size = None, 0
            self.waits_since = time.monotonic()
            return
        self._header_size += len(data)
        if self._header_size > MAX_HEADER and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def pause_writing(self) -> None:
        """Note since when the client leaves an answer unread."""
        self._unread_since = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._unread_since = None
        super().resume_writing()

    def reset(self) -> None:
        """Close the connection at once, and let the kernel drop what is unsent."""
        sock = self.transport.get_extra_info("socket")
        with suppress(OSError):  # the client has closed it
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def is_overdue(self, now: float) -> bool:
        """Return whether the client has missed a deadline."""
        if self._unread_since is not None and now - self._unread_since > SEND_LIMIT:
            return True
        return self.is_idle and self._header_since is not None and now - self._header_since > HEADER_LIMIT


def protocol_options() -> dict[str, Any]:
    """Return uvicorn's options for these connections."""
    return {"http": Connection, "timeout_keep_alive": KEEP_ALIVE}
