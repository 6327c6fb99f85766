"""A small HTTP server on loopback that refuses, limits and hangs when a test says so.

It stands in for hosts that tests cannot reach: `tests/support/github_api.py` for GitHub's API, itself for a
receiver of notifications, others for an engine and a registry that hang. Requests come over real sockets.
"""

import json
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What is answered. `hangs`: nothing is, until the server stops; `after_doing`: but what was asked is done."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    after_doing: bool = False


class StandIn:
    """Answers 200 to everything; `trouble` is what the next requests get instead, one each."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.trouble: deque[Answer] = deque()
        self.always: Answer | None = None
        self._over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def let_go(self) -> None:
        """Drop the connections that hang."""
        self._over.set()

    def answer(self, asked: Asked) -> Answer:
        """Do what is asked and say so."""
        return Answer(200)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _respond(self, asked: Asked) -> Answer | None:
        self.asked.append(asked)
        planned = self.trouble.popleft() if self.trouble else self.always
        if planned is None:
            planned = self.answer(asked)
        elif planned.after_doing:
            self.answer(asked)
        if planned.hangs:
            self._over.wait(60)
            return None
        return planned

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = stand_in._respond(Asked(self.command, self.path, dict(self.headers), body))
                if answer is None:
                    self.close_connection = True
                    return
                content = b"" if answer.body is None else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = handle_any

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        return Handler
