"""A viewer's connection, to send to without waking the thread that serves it.

A stream is a generator in a thread of its own, which waits nearly all the time. To wake 500 threads for a line
costs several times what sending it to 500 sockets does, and keeps deliveries from the processor meanwhile. So as
long as a thread waits, the build's tailer sends in its place; what the socket does not take at once is left to the
thread.

gunicorn tells the socket of a request in its environ. Whatever serves in another way has no Connection, and each
viewer's thread sends everything.
"""

import errno
import socket
from collections.abc import Mapping
from typing import Any, Self


class ViewerGone(BrokenPipeError):
    """The viewer's connection has ended, or has taken nothing for too long: there is nobody to tell."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "the viewer is gone")  # by which number the server knows it


class Connection:
    """The connection of an answer whose headers are sent and whose body goes on."""

    def __init__(self, sock: socket.socket, *, chunked: bool) -> None:
        """`chunked`: the body is framed by RFC 9112, 7.1, as the server does it itself."""
        self._sock = sock
        self._chunked = chunked

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> Self | None:
        """Return the connection by which a request came; None where the server does not tell it."""
        sock, protocol = environ.get("gunicorn.socket"), environ.get("SERVER_PROTOCOL")
        # Exactly these: one with TLS or HTTP/2 takes no bytes of ours.
        if type(sock) is not socket.socket or protocol not in ("HTTP/1.0", "HTTP/1.1"):
            return None
        return cls(sock, chunked=protocol == "HTTP/1.1")

    def send_some(self, data: bytes) -> bytes:
        """Send a piece of the body without waiting, and return what is left to `send_rest`. Raises ViewerGone."""
        framed = b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
        try:
            return framed[self._sock.send(framed, socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return framed
        except OSError:
            raise ViewerGone from None

    def send_rest(self, rest: bytes) -> None:
        """Send what `send_some` left over, for as long as the server lets a send take. Raises ViewerGone."""
        try:
            self._sock.sendall(rest)
        except OSError:
            raise ViewerGone from None
