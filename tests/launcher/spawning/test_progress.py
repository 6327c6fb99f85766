"""The messages of a start: every viewer sees all of them, and their end."""

import asyncio

from repo2hub_launcher.spawning.progress import MAX_MESSAGES, Progress


def test_early_and_late_viewers_see_all_messages_and_the_end() -> None:
    async def watch(progress: Progress) -> list[str]:
        return [event["message"] async for event in progress.events()]

    async def start() -> list[list[str]]:
        progress = Progress()
        early = asyncio.create_task(watch(progress))
        await progress.add_message("first", 5)
        await progress.add_message("second")
        await progress.close()
        return [await early, await watch(progress)]

    assert asyncio.run(asyncio.wait_for(start(), timeout=60)) == [["first", "second"]] * 2


def test_a_page_that_is_opened_late_shows_all_kept_messages() -> None:
    async def run() -> list[str]:
        progress = Progress()
        for number in range(MAX_MESSAGES + 5):
            await progress.add_message(str(number))
        seen = []
        async for event in progress.events():
            seen.append(event["message"])
            if len(seen) == MAX_MESSAGES:
                await progress.add_message("last")
            if event["message"] == "last":
                return seen
        return []

    seen = asyncio.run(asyncio.wait_for(run(), 20))
    assert seen == [*map(str, range(5, MAX_MESSAGES + 5)), "last"]
