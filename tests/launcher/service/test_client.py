"""The client of the service: it waits when it should, and never blocks the hub."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tornado.httpclient import AsyncHTTPClient

from repo2hub_launcher.service import client
from repo2hub_launcher.service.client import ServiceClient, ServiceError
from repo2hub_launcher.service.records import Build
from tests.support.stand_in import Answer, StandIn
from webhook.streaming.events import frame

SPAWNS = 15  # more than the ten slots of Tornado's shared client


def test_the_hubs_own_requests_do_not_wait_for_a_slow_service() -> None:
    async def run(slow: StandIn, proxy: StandIn) -> list[object]:
        service = ServiceClient(slow.url)
        lookups = [asyncio.ensure_future(service.lookup("org/repo", "main")) for _ in range(SPAWNS)]
        # Less than the timeout of a request, after which a slot would be free anyway.
        deadline = time.monotonic() + 15
        while len(slow.asked) < SPAWNS:
            assert time.monotonic() < deadline, f"only {len(slow.asked)} of {SPAWNS} requests arrived"
            await asyncio.sleep(0.01)
        await AsyncHTTPClient().fetch(proxy.url)
        assert not any(lookup.done() for lookup in lookups)
        slow.let_go()
        return await asyncio.gather(*lookups, return_exceptions=True)

    with StandIn() as slow, StandIn() as proxy:
        slow.always = Answer(hangs=True)
        answers = asyncio.run(run(slow, proxy))
    assert [answer.code for answer in answers if isinstance(answer, ServiceError)] == ["unreachable"] * SPAWNS


BUILD = {
    "id": 7,
    "status": "succeeded",
    "message": None,
    "phase": None,
    "queue_position": None,
}


@pytest.fixture
def refusals() -> list[int]:
    """The statuses of the responses to the first requests for the log."""
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
    async def collect() -> list[str | Build]:
        return [item async for item in service.follow(7, timeout=30)]

    return asyncio.run(collect())


@pytest.mark.parametrize("status", [429, 503])
def test_a_full_service_is_retried(service: ServiceClient, refusals: list[int], status: int) -> None:
    refusals += [status, status]
    *lines, last = follow(service)
    assert lines == ["a line\n"] and isinstance(last, Build) and last.status == "succeeded"
    assert not refusals


@pytest.mark.parametrize("status", [403, 404, 421])
def test_a_refusal_is_final(service: ServiceClient, refusals: list[int], status: int) -> None:
    refusals += [status]
    with pytest.raises(ServiceError):
        follow(service)
