"""Which image a server starts from: looked up when it starts, built where it is missing, refused in words.

Nothing here knows which spawner it is for.
"""

import asyncio
import re
from collections.abc import AsyncIterator

from tornado.web import HTTPError

from repo2hub_launcher.service.client import Build, Image, ImageNotReady, ServiceClient, ServiceError
from repo2hub_launcher.spawning.progress import Progress
from repo2hub_launcher.spawning.user_options import Choice

# As in the service's base/sanitize.py, which is not within reach of a hub.
_CONTROLS = re.compile(
    r"\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]"
    r"|\x1b[ -/]{0,8}[0-~]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_BUILD_START_PERCENT = (
    15  # percent of the start when the build begins; it comes near to _BUILT with each line
)
_BUILD_END_PERCENT = 75


class SpawnRefused(HTTPError):
    """A server that is not started, and why, for the person who wanted it.

    Always a status below 500: a repository that does not build is no sign that the hub is ill, and a hub counts
    such signs. `jupyterhub_message` is what the hub's pages show of an exception.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(status, "%s", message)
        self.jupyterhub_message = message


async def find_image(service: ServiceClient, choice: Choice) -> Image | ImageNotReady:
    """Return the image of a repository's choice: the ref's newest, or else the commit's that the person chose.

    Missing is returned only where a build can help. Raises SpawnRefused.
    """
    assert choice.repository is not None  # noqa: S101 -- the other kind of choice needs no lookup
    try:
        found = await service.lookup(choice.repository, choice.ref)
        if isinstance(found, ImageNotReady) and choice.commit not in (None, found.commit):
            chosen = await service.lookup(choice.repository, str(choice.commit))
            found = chosen if isinstance(chosen, Image) else found
    except ServiceError as exc:
        raise _to_spawn_refused(exc) from exc
    if isinstance(found, ImageNotReady) and found.state not in ("none", "queued", "running", "cancelled"):
        raise SpawnRefused(_explain_not_ready(choice, found))
    return found


async def build_image(
    service: ServiceClient, choice: Choice, progress: Progress, limit: float, *, is_removed: bool = False
) -> Image:
    """Have the image built, or join its build, and return it; the log goes to `progress`.

    `is_removed`: the service has it on record, but the engine has it no more. Raises SpawnRefused with the line that
    explains a failure, or where it takes longer than `limit` seconds. The build goes on in any case.
    """
    assert choice.repository is not None  # noqa: S101
    why = (
        "is not in the container engine any more: it is built again"
        if is_removed
        else "is not there yet: it is built first"
    )
    what = choice.repository_and_ref
    await progress.add_message(f"The image of {what} {why}.", 5)
    try:
        asked = await service.request_build(choice.repository, choice.ref, force=is_removed)
        if isinstance(asked, Image):
            return asked
        async with asyncio.timeout(limit):
            ended = await _follow(service, asked, progress, limit)
        if ended.status != "succeeded":
            raise SpawnRefused(f"The build of {what} {_describe_end(ended)}", 424)
        found = await service.lookup(choice.repository, choice.ref)
    except ServiceError as exc:
        raise _to_spawn_refused(exc) from exc
    except TimeoutError as exc:
        minutes = round(limit / 60)
        raise SpawnRefused(
            f"The build of {what} is not done after {minutes} minutes. It goes on; start again later.", 424
        ) from exc
    if isinstance(found, Image):
        return found
    if found.fallback is not None:  # somebody pushed meanwhile: what was built is the last good image
        return found.fallback
    raise SpawnRefused(f"The image of {what} is gone again. Start once more.", 424)


def is_in_no_registry(image: str) -> bool:
    """Say whether an image's name tells of no registry: then the engine has it, or nobody."""
    first, slash, _ = image.partition("/")
    return not slash or not (set(".:") & set(first) or first == "localhost")


async def _follow(service: ServiceClient, asked: Build, progress: Progress, limit: float) -> Build:
    ended, lines = asked, 0
    async for item in _lines(service, asked, limit):
        if isinstance(item, Build):
            if item.status == "queued" and item.queue_position:
                await progress.add_message(
                    f"Waiting for a builder: number {item.queue_position} in the queue.", 10
                )
            ended = item
        else:
            lines += 1
            await progress.add_message(
                item,
                _BUILD_END_PERCENT - round((_BUILD_END_PERCENT - _BUILD_START_PERCENT) / (1 + lines / 60)),
            )
    return ended


async def _lines(service: ServiceClient, asked: Build, limit: float) -> AsyncIterator[str | Build]:
    """Yield the lines of a build's log that say something, harmless, and the build whenever it changed."""
    rest = ""
    async for item in service.follow(asked.id, limit):
        if isinstance(item, Build):
            yield item
            continue
        *lines, rest = (rest + item).split("\n")
        for line in lines:
            if text := sanitize_log_line(line):
                yield text


def sanitize_log_line(line: str) -> str:
    """Return a line of a log with nothing in it but what can be read."""
    shown = line.rstrip("\r").rsplit("\r", 1)[-1]  # a progress bar's last state
    return _CONTROLS.sub("", shown).rstrip()


def _describe_end(build_image: Build) -> str:
    why = (build_image.message or "").strip().rstrip(".")
    if build_image.status == "cancelled":
        return "was stopped. Start again to build it."
    return f"failed: {why}." if why else "failed; its log says why."


def _explain_not_ready(choice: Choice, found: ImageNotReady) -> str:
    if found.state == "failed":
        why = found.message.strip().rstrip(".")
        what = choice.repository_and_ref
        return f"The newest build of {what} failed: {why}. Build it again, or choose another image."
    return found.message


def _to_spawn_refused(exc: ServiceError) -> SpawnRefused:
    return SpawnRefused(str(exc), exc.status if 400 <= exc.status < 500 else 424)
