"""How the launcher asks the service: what becomes of the hub when that is slow."""

import asyncio
import time

from tornado.httpclient import AsyncHTTPClient

from repo2hub_launcher.service.client import ServiceClient, ServiceError
from tests.support.stand_in import Answer, StandIn

SPAWNS = 15  # more than Tornado's shared client has places


def test_the_hubs_own_questions_do_not_wait_for_a_slow_service() -> None:
    async def run(slow: StandIn, proxy: StandIn) -> list[object]:
        service = ServiceClient(slow.url)
        asking = [asyncio.ensure_future(service.lookup("org/repo", "main")) for _ in range(SPAWNS)]
        deadline = (
            time.monotonic() + 15
        )  # less than the limit of a question, after which places are free anyway
        while len(slow.asked) < SPAWNS:
            assert time.monotonic() < deadline, f"only {len(slow.asked)} of {SPAWNS} questions were put"
            await asyncio.sleep(0.01)
        await AsyncHTTPClient().fetch(proxy.url)
        assert not any(question.done() for question in asking)
        slow.let_go()
        return await asyncio.gather(*asking, return_exceptions=True)

    with StandIn() as slow, StandIn() as proxy:
        slow.always = Answer(hangs=True)
        answers = asyncio.run(run(slow, proxy))
    assert [answer.code for answer in answers if isinstance(answer, ServiceError)] == ["unreachable"] * SPAWNS
