"""Reading bodies: limits for one and for all, and who is given up when memory is short."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from webhook.serving import request_body
from webhook.serving.request_body import BodyTimeout, BodyTooLarge, ClientDisconnected, RequestBodies

LIMIT = 1000


class Client:
    """A client whose body comes in parts, when a test says so."""

    def __init__(self, *parts: bytes, is_whole: bool = True) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for number, part in enumerate(parts, start=1):
            self.send(part, more=not is_whole or number < len(parts))

    def send(self, part: bytes, *, more: bool) -> None:
        self._messages.put_nowait({"type": "http.request", "body": part, "more_body": more})

    def disconnect(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> dict[str, Any]:
        return await self._messages.get()


def run(scenario: Callable[[RequestBodies], Awaitable[None]], max_held: int = LIMIT) -> None:
    async def main() -> None:
        bodies = RequestBodies(max_held)
        await scenario(bodies)
        assert bodies._held == 0  # whatever happened

    asyncio.run(main())


def test_a_body_is_returned_whole() -> None:
    async def scenario(bodies: RequestBodies) -> None:
        body = await bodies.read(Client(b"a", b"b", b"c").receive, LIMIT)
        assert body == b"abc"
        bodies.release(body)

    run(scenario)


def test_a_body_above_its_limit_is_not_read_to_its_end() -> None:
    async def scenario(bodies: RequestBodies) -> None:
        assert await bodies.read(Client(b"x" * 10).receive, 10) == b"x" * 10
        bodies.release(b"x" * 10)
        with pytest.raises(BodyTooLarge):
            await bodies.read(Client(b"x" * 10, b"x", is_whole=False).receive, 10)

    run(scenario)


def test_a_client_that_disconnects_frees_what_it_held() -> None:
    async def scenario(bodies: RequestBodies) -> None:
        client = Client(b"x" * 10, is_whole=False)
        client.disconnect()
        with pytest.raises(ClientDisconnected):
            await bodies.read(client.receive, LIMIT)

    run(scenario)


def test_a_body_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "READ_LIMIT", 0.01)

    async def scenario(bodies: RequestBodies) -> None:
        with pytest.raises(BodyTimeout):
            await bodies.read(Client(b"x", is_whole=False).receive, LIMIT)

    run(scenario)


def test_where_memory_is_short_the_oldest_body_that_still_arrives_is_given_up() -> None:
    async def scenario(bodies: RequestBodies) -> None:
        slow = [Client(b"x" * 400, is_whole=False) for _ in range(2)]
        reading = [asyncio.create_task(bodies.read(client.receive, LIMIT)) for client in slow]
        await asyncio.sleep(0)
        delivery = await bodies.read(Client(b"d" * 300).receive, LIMIT)
        assert delivery == b"d" * 300
        slow[1].send(b"y", more=False)
        with pytest.raises(BodyTimeout):
            await reading[0]
        second = await reading[1]
        assert second == b"x" * 400 + b"y"
        bodies.release(delivery)
        bodies.release(second)

    run(scenario)


def test_a_body_that_is_given_up_with_its_last_part_on_the_way_is_not_taken_for_whole() -> None:
    async def scenario(bodies: RequestBodies) -> None:
        slow = Client(b"x" * 900, is_whole=False)
        reading = asyncio.create_task(bodies.read(slow.receive, LIMIT))
        await asyncio.sleep(0)
        slow.send(b"x", more=False)
        delivery = await bodies.read(Client(b"d" * 300).receive, LIMIT)
        with pytest.raises(BodyTimeout):
            await reading
        bodies.release(delivery)

    run(scenario)
