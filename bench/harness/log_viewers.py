"""Viewers of one log, in a process that costs little: `python -m bench.harness.log_viewers PORT SPEC COUNT`.

The machine has few cores, and what the viewers take is missing at the server. So there is one epoll loop that
notes when bytes came and reads nothing into them before all is over. It prints `connected` when every viewer has
the first bytes of its stream, and at the end, as JSON, what the viewers have seen and what processor time it took.
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
_END = b"0\r\n\r\n"  # the last chunk of an answer
_LIMIT = 120.0
"""Seconds without a byte after which a viewer has been forgotten."""


@dataclass(eq=False)
class _Viewer:
    sock: socket.socket
    pieces: list[tuple[float, bytes]] = field(default_factory=list)

    def read(self) -> bool:
        """Note what has come; False where nothing more will."""
        piece = self.sock.recv(65536)
        self.pieces.append((time.monotonic(), piece))
        return bool(piece) and not piece.endswith(_END)

    def lines(self) -> Iterator[tuple[int, float]]:
        """Yield each line's number, and the milliseconds from when it was written to when it was whole here."""
        begun = b""
        for at, piece in self.pieces:
            *events, begun = (begun + piece).split(b"\n\n")
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
                raise RuntimeError(f"nothing came any more for {len(selector.get_map())} viewers")
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
    spent = time.process_time() - before
    seen = [list(viewer.lines()) for viewer in viewers]
    report = {
        "lines": [[number for number, _ in lines] for lines in seen],
        "delays": [delay for lines in seen for _, delay in lines],
        "cpu": spent,
    }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
