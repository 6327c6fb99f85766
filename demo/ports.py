"""Free ports of the loopback interface."""

import socket
from contextlib import ExitStack, suppress

from repo2hub.output.errors import CommandFailed


def free_ports(*preferred: int) -> list[int]:
    """Return a free port for each preferred one: that one if it is free, else any other. Raises CommandFailed."""
    with ExitStack() as stack:
        return [_bind(stack, port) for port in preferred]


def _bind(stack: ExitStack, preferred: int) -> int:
    """Bind a port until the stack is closed, so that it is returned only once."""
    for port in (preferred, 0):
        probe = stack.enter_context(socket.socket())
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found: int = probe.getsockname()[1]
            return found
    raise CommandFailed("No port is free on 127.0.0.1.")
