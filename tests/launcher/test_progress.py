"""What is told of a start: all of it to every viewer, and an end, where a spawner goes on with its own events."""

import asyncio

from repo2hub_launcher.spawning.progress import Progress


def test_a_viewer_who_comes_late_and_one_who_waits_see_all_of_it_and_its_end() -> None:
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
