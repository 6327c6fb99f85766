"""How the launcher follows a build whose service has no place for one more viewer. The service is played here."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from repo2hub_launcher.service import client
from repo2hub_launcher.service.client import Build, ServiceClient, ServiceError
from webhook.streaming.events import frame

BUILD = {
    "id": 7,
    "status": "succeeded",
    "message": None,
    "phase": None,
    "queue_position": None,
    "image": None,
}


@pytest.fixture
def refusals() -> list[int]:
    """The statuses with which the first requests for the log are answered."""
    return []


@pytest.fixture
def service(refusals: list[int], monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceClient]:
    monkeypatch.setattr(client, "_RECONNECT_PAUSE", 0.01)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = 200, json.dumps(BUILD).encode()
            if self.path.endswith("/log"):
                body = frame("log", {"text": "a line\n"}) + frame("end", {})
                if refusals:
                    status, body = refusals.pop(0), b"{}"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield ServiceClient(f"http://127.0.0.1:{server.server_address[1]}")
    server.shutdown()
    server.server_close()


def follow(service: ServiceClient) -> list[str | Build]:
    async def all_of_it() -> list[str | Build]:
        return [item async for item in service.follow(7, limit=30)]

    return asyncio.run(all_of_it())


@pytest.mark.parametrize("status", [429, 503])
def test_no_place_is_no_reason_to_give_up(service: ServiceClient, refusals: list[int], status: int) -> None:
    refusals += [status, status]
    *lines, last = follow(service)
    assert lines == ["a line\n"] and isinstance(last, Build) and last.status == "succeeded"
    assert not refusals


@pytest.mark.parametrize("status", [403, 404, 421])
def test_what_will_not_change_ends_it(service: ServiceClient, refusals: list[int], status: int) -> None:
    refusals += [status]
    with pytest.raises(ServiceError):
        follow(service)
