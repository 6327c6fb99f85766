"""Clients without a login that occupy a server: `python -m tests.webhook.serving.hostile_clients PORT LOG`.

2,000 connections send nothing, 500 send a header slowly, 500 a body, and 500 ask for a long log, as text or as
events, and read nothing. It prints `attacking` once all are connected. When its input ends, it prints as JSON how
many connections of each kind the server has closed.
"""

import json
import selectors
import socket
import sys
import threading
import time
from collections.abc import Iterable

IDLE, SLOW_HEADERS, SLOW_BODIES, NOT_READING = 2000, 500, 500, 500
_HEADER = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A"
_SIGNATURE = b"X-Hub-Signature-256: sha256=" + b"0" * 64
_BODY = b"POST /webhook/github HTTP/1.1\r\nHost: x\r\n%b\r\nContent-Length: 20000000\r\n\r\n" % _SIGNATURE


def _connect(port: int, count: int, *beginnings: bytes, buffer: int = 0) -> list[socket.socket]:
    clients = []
    for number in range(count):
        client = socket.socket()
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(30)
        client.connect(("127.0.0.1", port))
        client.sendall(beginnings[number % len(beginnings)])
        client.setblocking(False)
        clients.append(client)
        if number % 10 == 0:
            time.sleep(0.01)  # the machine has few processors, which the server needs, too
    return clients


def _drip(clients: Iterable[socket.socket], over: threading.Event) -> None:
    left = list(clients)
    while not over.wait(0.5):
        for client in list(left):
            try:
                client.send(b"x")
            except OSError:
                left.remove(client)


def _closed(clients: Iterable[socket.socket]) -> int:
    """Count the connections that the server has ended or reset."""
    count = 0
    with selectors.PollSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        for key, _ in selector.select(0):
            ready = key.fileobj
            assert isinstance(ready, socket.socket)
            try:
                while piece := ready.recv(65536):
                    del piece
                count += 1
            except BlockingIOError:
                pass
            except OSError:
                count += 1
    return count


def main() -> None:
    port, log = int(sys.argv[1]), sys.argv[2]
    reads = [
        f"GET {log} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {accept}\r\n\r\n".encode()
        for accept in ("text/plain", "text/event-stream")
    ]
    clients = {
        "idle": _connect(port, IDLE, b""),
        "slow headers": _connect(port, SLOW_HEADERS, _HEADER),
        "slow bodies": _connect(port, SLOW_BODIES, _BODY + b"x" * 1000),
        "not reading": _connect(port, NOT_READING, *reads, buffer=4096),
    }
    over = threading.Event()
    slow = [*clients["slow headers"], *clients["slow bodies"]]
    dripping = threading.Thread(target=_drip, args=(slow, over))
    dripping.start()
    print("attacking", flush=True)
    sys.stdin.read()
    over.set()
    dripping.join()
    print(json.dumps({kind: _closed(members) for kind, members in clients.items()}), flush=True)


if __name__ == "__main__":
    main()
