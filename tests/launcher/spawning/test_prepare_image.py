"""Which image a start gets, and what the progress page shows of its build."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from repo2hub_launcher.service.client import ServiceError
from repo2hub_launcher.service.records import Build, Image, ImageNotReady
from repo2hub_launcher.spawning import prepare_image
from repo2hub_launcher.spawning.progress import Progress
from repo2hub_launcher.spawning.user_options import Choice

NEW, OLD = "a" * 40, "b" * 40

CHOICE = Choice("Org/repo", "main")


def image(commit: str) -> Image:
    return Image(f"org/repo:{commit}", "Org/repo", "refs/heads/main", commit)


def missing(state: str, **more: Any) -> ImageNotReady:
    return ImageNotReady(state, f"It is {state}.", commit=NEW, **more)


@dataclass
class Service:
    """A service with fixed answers. tests/acceptance/launcher uses the real one."""

    answers: dict[str, Any]
    log: list[str | Build] = field(default_factory=list)

    async def lookup(self, repository: str, ref: str) -> Any:
        answer = self.answers[ref]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def request_build(self, repository: str, ref: str, *, force: bool) -> Any:
        return self.answers["rebuild" if force else "build"]

    async def follow(self, build_id: int, timeout: float) -> AsyncIterator[str | Build]:
        for item in self.log:
            await asyncio.sleep(0)
            yield item


def find(choice: Choice, **answers: Any) -> Image | ImageNotReady:
    return asyncio.run(prepare_image.find_image(Service(answers), choice))  # type: ignore[arg-type]


def test_the_newest_image_of_the_ref_is_started() -> None:
    chosen = Choice("Org/repo", "main", commit=OLD)
    assert find(chosen, main=image(NEW)) == image(NEW)


@pytest.mark.parametrize("state", ["none", "queued", "running", "failed"])
def test_the_chosen_image_is_started_while_the_newest_commit_has_none(state: str) -> None:
    chosen = Choice("Org/repo", "main", commit=OLD)
    answers = {"main": missing(state), OLD: image(OLD)}
    assert find(chosen, **answers) == image(OLD)


@pytest.mark.parametrize("state", ["none", "queued", "running", "cancelled"])
def test_an_image_that_can_be_built_is_returned_as_not_ready(state: str) -> None:
    assert find(CHOICE, main=missing(state)) == missing(state)


@pytest.mark.parametrize("state", ["failed", "unknown_repository", "unknown_ref", "ambiguous_commit"])
def test_an_image_that_cannot_be_built_is_refused_with_the_reason(state: str) -> None:
    with pytest.raises(prepare_image.SpawnRefused) as refused:
        find(CHOICE, main=missing(state))
    assert f"It is {state}." in refused.value.jupyterhub_message
    assert refused.value.status_code == 400


@pytest.mark.parametrize(("status", "expected"), [(429, 429), (503, 424), (500, 424)])
def test_an_error_of_the_service_has_a_status_below_500(status: int, expected: int) -> None:
    with pytest.raises(prepare_image.SpawnRefused) as refused:
        find(CHOICE, main=ServiceError("Come back at 12:00.", "over_limit", status))
    assert refused.value.status_code == expected
    assert refused.value.jupyterhub_message == "Come back at 12:00."


def build(status: str, message: str | None = None, position: int | None = None) -> Build:
    return Build(1, status, message, None, position)


def build_and_read_messages(
    service: Service, *, is_removed: bool = False
) -> tuple[Image, list[dict[str, Any]]]:
    async def run() -> tuple[Image, list[dict[str, Any]]]:
        progress = Progress()
        found = await prepare_image.build_image(service, CHOICE, progress, 10, is_removed=is_removed)  # type: ignore[arg-type]
        await progress.close()
        return found, [event async for event in progress.events()]

    return asyncio.run(run())


def test_the_progress_page_shows_the_log_of_the_build() -> None:
    log = [build("queued", position=2), "one\ntw", "o\n\n\x1b[31mred\x1b[0m\rblue\n", build("succeeded")]
    found, events = build_and_read_messages(Service({"build": build("queued"), "main": image(NEW)}, log))
    assert found == image(NEW)
    assert [event["message"] for event in events] == [
        "There is no image of Org/repo at main yet. Building it.",
        "Waiting for a builder: position 2 in the queue.",
        "one",
        "two",
        "blue",
    ]
    percents = [event["progress"] for event in events]
    assert percents == sorted(percents) and percents[-1] < 75


def test_an_image_that_was_removed_from_the_engine_is_built_again() -> None:
    answers = {"build": image(OLD), "rebuild": build("queued"), "main": image(NEW)}
    found, events = build_and_read_messages(Service(answers, [build("succeeded")]), is_removed=True)
    assert found == image(NEW)
    assert "was removed from this machine" in events[0]["message"]


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (build("failed", "No package x."), "failed: No package x."),
        (build("failed"), "See its log for the reason"),
        (build("cancelled"), "was cancelled"),
    ],
)
def test_a_failed_build_fails_the_start_with_the_cause(ended: Build, expected: str) -> None:
    with pytest.raises(prepare_image.SpawnRefused) as refused:
        build_and_read_messages(Service({"build": build("queued")}, [ended]))
    assert expected in refused.value.jupyterhub_message


def test_after_a_push_during_the_build_the_built_image_is_started() -> None:
    answers = {"build": build("queued"), "main": missing("queued", fallback=image(OLD))}
    found, _ = build_and_read_messages(Service(answers, [build("succeeded")]))
    assert found == image(OLD)


def test_a_build_that_takes_too_long_continues() -> None:
    async def run() -> None:
        service = Service({"build": build("running")})
        service.follow = forever  # type: ignore[method-assign, assignment]
        await prepare_image.build_image(service, CHOICE, Progress(), 0.01)  # type: ignore[arg-type]

    async def forever(build_id: int, timeout: float) -> AsyncIterator[str | Build]:
        await asyncio.sleep(60)
        yield ""

    with pytest.raises(prepare_image.SpawnRefused, match="424") as refused:
        asyncio.run(run())
    assert "It continues" in refused.value.jupyterhub_message
