"""The listening sockets: those that systemd hands over, or one of our own."""

import errno
import os
import resource
import socket
import time
from collections.abc import Iterable, Mapping

from base.settings import SettingsError
from webhook.settings import WebSettings

BACKLOG = 4096
"""Connections that may wait to be accepted, as far as net.core.somaxconn lets them."""
_UNREAD_LIMIT = 60_000
"""Milliseconds after which the kernel gives up a connection whose client takes nothing of what was sent."""
_UNSENT = 128 * 1024
"""Bytes that the kernel holds of an answer beyond what is on its way."""
_ACCEPTED_AT_ONCE = 8
"""Connections that an iteration of the event loop accepts."""
_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START
_TAKEN_RETRIES = 5
_OTHER_DESCRIPTORS = 256
"""File descriptors that are no connection: the database's files, git's pipes."""
_MAX_CONNECTIONS = 20_000


def listen(settings: WebSettings, environ: Mapping[str, str]) -> list[socket.socket]:
    """Return the sockets to accept connections on: inherited ones where there are any.

    Raises SettingsError where the address cannot be listened on.
    """
    sockets = inherited(environ) or [_bind(settings.host.strip("[]"), settings.port)]
    for sock in sockets:
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            _limit_unread(sock)
    return sockets


def inherited(environ: Mapping[str, str]) -> list[socket.socket]:
    """Return the sockets that systemd's socket activation gave to this process."""
    sockets = [socket.socket(fileno=descriptor) for descriptor in inherited_descriptors(environ)]
    for sock in sockets:
        sock.set_inheritable(False)
    return sockets


def inherited_descriptors(environ: Mapping[str, str]) -> range:
    """Return the descriptors of these sockets: see sd_listen_fds(3)."""
    is_ours = environ.get("LISTEN_PID") == str(os.getpid())
    count = int(environ.get("LISTEN_FDS", "0")) if is_ours else 0
    return range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + count)


def multiply(sockets: Iterable[socket.socket]) -> list[socket.socket]:
    """Return each socket several times: libuv accepts one connection of a descriptor, and then turns to others.

    Thousands of new connections at once would otherwise keep a delivery among them waiting for seconds.
    """
    return [one if copy == 0 else one.dup() for one in sockets for copy in range(_ACCEPTED_AT_ONCE)]


def addresses(sockets: Iterable[socket.socket]) -> list[str]:
    """Return where the sockets listen, to be logged."""
    return [_address(sock) for sock in sockets]


def connection_limit() -> int:
    """Let this process open as many files as it may, and return how many connections these leave room for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return _MAX_CONNECTIONS
    return max(64, min(_MAX_CONNECTIONS, hard - _OTHER_DESCRIPTORS))


def _bind(host: str, port: int) -> socket.socket:
    for attempt in range(_TAKEN_RETRIES + 1):
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            sock.listen(BACKLOG)
        except OSError as exc:
            sock.close()
            # The process before this one may be about to exit.
            if exc.errno == errno.EADDRINUSE and attempt < _TAKEN_RETRIES:
                time.sleep(1)
                continue
            raise SettingsError(
                f"REPO2HUB_PORT: cannot listen on {host} port {port}: {exc.strerror}"
            ) from exc
        return sock
    raise AssertionError  # the last attempt returns or raises


def _limit_unread(sock: socket.socket) -> None:
    """Bound what the kernel holds for a client that does not read, and for how long. Connections inherit both."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_LIMIT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)


def _address(sock: socket.socket) -> str:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
