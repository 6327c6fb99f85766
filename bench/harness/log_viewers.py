"""Many viewers of one log, in one process: `python -m bench.harness.log_viewers PORT SPEC COUNT`.

On a machine with few cores, processor time of the viewers is missing for the server. So one epoll loop records
when bytes arrive, and parses them only at the end. It prints `connected` when every viewer has the first bytes
of its stream, and at the end a JSON object with the lines and delays of the viewers and the processor time that
they used.
"""

import json
import re
import resource
import selectors
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_LINE = re.compile(rb'"message": "line (\d+) at ([\d.]+)')
_END = b"0\r\n\r\n"  # the last chunk of a response
_LIMIT = 120.0
"""Seconds without any byte after which the viewers give up."""


@dataclass(eq=False)
class _Viewer:
    sock: socket.socket
    pieces: list[tuple[float, bytes]] = field(default_factory=list)

    def read(self) -> bool:
        """Record the bytes that have arrived; return False at the end of the stream."""
        piece = self.sock.recv(65536)
        self.pieces.append((time.monotonic(), piece))
        return bool(piece) and not piece.endswith(_END)

    def lines(self) -> Iterator[tuple[int, float]]:
        """Yield the number of each line, and the milliseconds from its commit until it was complete here."""
        rest = b""
        for at, piece in self.pieces:
            *events, rest = (rest + piece).split(b"\n\n")
            for found in filter(None, map(_LINE.search, events)):
                yield int(found[1]), (at - float(found[2])) * 1000


def _connect(port: int, spec: str, count: int) -> list[_Viewer]:
    request = f"GET /build/{spec}?build_only=true HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    viewers = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(request)
        viewers.append(_Viewer(sock))
    return viewers


def _wait_for_first_bytes(viewers: Iterable[_Viewer]) -> None:
    for viewer in viewers:
        viewer.sock.settimeout(_LIMIT)
        while b"id: " not in b"".join(piece for _, piece in viewer.pieces):
            if not viewer.read():
                raise RuntimeError(f"a viewer was refused: {viewer.pieces}")


def _watch(viewers: Iterable[_Viewer]) -> None:
    with selectors.DefaultSelector() as selector:
        for viewer in viewers:
            viewer.sock.setblocking(False)
            selector.register(viewer.sock, selectors.EVENT_READ, viewer)
        while selector.get_map():
            ready = selector.select(_LIMIT)
            if not ready:
                raise RuntimeError(f"{len(selector.get_map())} viewers received nothing for {_LIMIT:g} s")
            for key, _ in ready:
                if not key.data.read():
                    selector.unregister(key.fileobj)


def main() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    port, spec, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    viewers = _connect(port, spec, count)
    _wait_for_first_bytes(viewers)
    print("connected", flush=True)
    before = time.process_time()
    _watch(viewers)
    cpu_seconds = time.process_time() - before
    seen = [list(viewer.lines()) for viewer in viewers]
    report = {
        "lines": [[number for number, _ in lines] for lines in seen],
        "delays": [delay for lines in seen for _, delay in lines],
        "cpu": cpu_seconds,
    }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
