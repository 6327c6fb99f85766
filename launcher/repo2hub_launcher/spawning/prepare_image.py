"""The image of a start, for any spawner: look it up, build it if it is missing, or explain why there is none."""

import asyncio
import re
from collections.abc import AsyncIterator

from tornado.web import HTTPError

from repo2hub_launcher.service.client import ServiceClient, ServiceError
from repo2hub_launcher.service.records import Build, Image, ImageNotReady
from repo2hub_launcher.spawning.progress import Progress
from repo2hub_launcher.spawning.user_options import Choice

# The same pattern as in the service's base/sanitize.py, which is not installed in a hub; a test compares them.
_CONTROLS = re.compile(
    r"\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]"
    r"|\x1b[ -/]{0,8}[0-~]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# The part of the progress bar that a build has. Each line of the log moves it closer to the end.
_BUILD_START_PERCENT, _BUILD_END_PERCENT = 15, 75


class SpawnRefused(HTTPError):
    """A server that is not started, and why, as a message for the user.

    The status is always below 500: a hub counts statuses from 500 on as its own failures, and a repository that
    does not build is none. The hub's pages show the attribute `jupyterhub_message` of an exception.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(status, "%s", message)
        self.jupyterhub_message = message


async def find_image(service: ServiceClient, choice: Choice) -> Image | ImageNotReady:
    """Return the image of a chosen repository: the newest of the ref, else that of the chosen commit.

    ImageNotReady is returned only if a build can produce the image. Raises SpawnRefused otherwise.
    """
    assert choice.repository is not None  # noqa: S101 -- an admin's image needs no lookup
    try:
        found = await service.lookup(choice.repository, choice.ref)
        if isinstance(found, ImageNotReady) and choice.commit not in (None, found.commit):
            chosen = await service.lookup(choice.repository, str(choice.commit))
            found = chosen if isinstance(chosen, Image) else found
    except ServiceError as exc:
        raise _to_spawn_refused(exc) from exc
    if isinstance(found, ImageNotReady) and not found.can_be_built:
        raise SpawnRefused(_explain_not_ready(choice, found))
    return found


async def build_image(
    service: ServiceClient, choice: Choice, progress: Progress, timeout: float, *, is_removed: bool = False
) -> Image:
    """Request the image, wait for its build with the log in `progress`, and return it.

    `is_removed` says that the service knows the image, but the engine no longer has it. Raises SpawnRefused
    with the cause of a failed build, or if the build takes longer than `timeout` seconds; it then continues.
    """
    assert choice.repository is not None  # noqa: S101
    name = choice.repository_and_ref
    await progress.add_message(
        f"The image of {name} was removed from this machine. Building it again."
        if is_removed
        else f"There is no image of {name} yet. Building it.",
        5,
    )
    try:
        requested = await service.request_build(choice.repository, choice.ref, force=is_removed)
        if isinstance(requested, Image):
            return requested
        async with asyncio.timeout(timeout):
            ended = await _follow(service, requested, progress, timeout)
        if ended.status != "succeeded":
            raise SpawnRefused(f"The build of {name} {_describe_end(ended)}", 424)
        found = await service.lookup(choice.repository, choice.ref)
    except ServiceError as exc:
        raise _to_spawn_refused(exc) from exc
    except TimeoutError as exc:
        raise SpawnRefused(
            f"The build of {name} has not finished within {round(timeout / 60)} minutes. It continues; "
            "start your server again later.",
            424,
        ) from exc
    if isinstance(found, Image):
        return found
    # A push arrived during the build, so the built image is now the last successful one.
    if found.fallback is not None:
        return found.fallback
    raise SpawnRefused(f"The image of {name} was removed after its build. Start your server again.", 424)


def is_in_no_registry(image: str) -> bool:
    """Return whether an image's name has no registry, so that only the local engine can have the image."""
    first, slash, _ = image.partition("/")
    return not slash or not (set(".:") & set(first) or first == "localhost")


async def _follow(service: ServiceClient, requested: Build, progress: Progress, timeout: float) -> Build:
    ended, lines = requested, 0
    async for item in _lines(service, requested, timeout):
        if isinstance(item, Build):
            if item.status == "queued" and item.queue_position:
                message = f"Waiting for a builder: position {item.queue_position} in the queue."
                await progress.add_message(message, 10)
            ended = item
        else:
            lines += 1
            left = (_BUILD_END_PERCENT - _BUILD_START_PERCENT) / (1 + lines / 60)
            await progress.add_message(item, _BUILD_END_PERCENT - round(left))
    return ended


async def _lines(service: ServiceClient, requested: Build, timeout: float) -> AsyncIterator[str | Build]:
    """Yield the lines of a build's log, sanitized and without empty ones, and the build whenever it changes."""
    rest = ""
    async for item in service.follow(requested.id, timeout):
        if isinstance(item, Build):
            yield item
            continue
        *lines, rest = (rest + item).split("\n")
        for line in lines:
            if text := sanitize_log_line(line):
                yield text


def sanitize_log_line(line: str) -> str:
    """Return a line of a log without control characters; of a progress bar, its last state."""
    shown = line.rstrip("\r").rsplit("\r", 1)[-1]
    return _CONTROLS.sub("", shown).rstrip()


def _describe_end(build: Build) -> str:
    reason = (build.message or "").strip().rstrip(".")
    if build.status == "cancelled":
        return "was cancelled. Start your server again to build it."
    return f"failed: {reason}." if reason else "failed. See its log for the reason."


def _explain_not_ready(choice: Choice, found: ImageNotReady) -> str:
    if found.state == "failed":
        reason = found.message.strip().rstrip(".")
        name = choice.repository_and_ref
        return f"The newest build of {name} failed: {reason}. Build it again, or choose another image."
    return found.message


def _to_spawn_refused(exc: ServiceError) -> SpawnRefused:
    return SpawnRefused(str(exc), exc.status if 400 <= exc.status < 500 else 424)
