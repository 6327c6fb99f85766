"""Which image a start gets, what its log looks like on the hub's page, and why a container is no server."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from repo2hub_launcher.dockerspawner import start_failures
from repo2hub_launcher.service.client import Build, Image, ImageNotReady, ServiceError
from repo2hub_launcher.service.event_stream import Event, EventParser
from repo2hub_launcher.spawning import prepare_image
from repo2hub_launcher.spawning.progress import MAX_MESSAGES, Progress
from repo2hub_launcher.spawning.user_options import Choice

NEW, OLD = "a" * 40, "b" * 40
CHOICE = Choice("Org/repo", "main")


def image(commit: str) -> Image:
    return Image(f"org/repo:{commit}", "Org/repo", "refs/heads/main", commit)


def missing(state: str, **more: Any) -> ImageNotReady:
    return ImageNotReady(state, f"It is {state}.", commit=NEW, **more)


@dataclass
class Service:
    """Answers as the service would: the real one is asked in tests/acceptance/launcher/test_dockerspawner.py."""

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

    async def follow(self, build_id: int, limit: float) -> AsyncIterator[str | Build]:
        for item in self.log:
            await asyncio.sleep(0)
            yield item


def find(choice: Choice, **answers: Any) -> Image | ImageNotReady:
    return asyncio.run(prepare_image.find_image(Service(answers), choice))  # type: ignore[arg-type]


def test_the_newest_image_of_the_ref_is_started() -> None:
    chosen = Choice("Org/repo", "main", commit=OLD)
    assert find(chosen, main=image(NEW)) == image(NEW)


@pytest.mark.parametrize("state", ["none", "queued", "running", "failed"])
def test_while_the_newest_has_none_the_image_that_was_chosen_is_started(state: str) -> None:
    chosen = Choice("Org/repo", "main", commit=OLD)
    answers = {"main": missing(state), OLD: image(OLD)}
    assert find(chosen, **answers) == image(OLD)


@pytest.mark.parametrize("state", ["none", "queued", "running", "cancelled"])
def test_what_a_build_can_help_is_built(state: str) -> None:
    assert find(CHOICE, main=missing(state)) == missing(state)


@pytest.mark.parametrize("state", ["failed", "unknown_repository", "unknown_ref", "ambiguous_commit"])
def test_what_no_build_can_help_is_refused_in_words(state: str) -> None:
    with pytest.raises(prepare_image.SpawnRefused) as refused:
        find(CHOICE, main=missing(state))
    assert f"It is {state}." in refused.value.jupyterhub_message
    assert refused.value.status_code == 400


@pytest.mark.parametrize(("status", "told"), [(429, 429), (503, 424), (500, 424)])
def test_a_service_in_trouble_is_no_sign_of_an_ill_hub(status: int, told: int) -> None:
    with pytest.raises(prepare_image.SpawnRefused) as refused:
        find(CHOICE, main=ServiceError("Come back at 12:00.", "over_limit", status))
    assert refused.value.status_code == told
    assert refused.value.jupyterhub_message == "Come back at 12:00."


def build(status: str, message: str | None = None, place: int | None = None) -> Build:
    return Build(1, status, message, None, place, None)


def built(service: Service, *, is_lost: bool = False) -> tuple[Image, list[dict[str, Any]]]:
    async def run() -> tuple[Image, list[dict[str, Any]]]:
        progress = Progress()
        found = await prepare_image.build_image(service, CHOICE, progress, 10, is_removed=is_lost)  # type: ignore[arg-type]
        return found, progress.messages()

    return asyncio.run(run())


def test_a_build_that_is_waited_for_shows_its_log() -> None:
    log = [build("queued", place=2), "one\ntw", "o\n\n\x1b[31mred\x1b[0m\rblue\n", build("succeeded")]
    found, events = built(Service({"build": build("queued"), "main": image(NEW)}, log))
    assert found == image(NEW)
    said = [event["message"] for event in events]
    assert said == [
        "The image of Org/repo at main is not there yet: it is built first.",
        "Waiting for a builder: number 2 in the queue.",
        "one",
        "two",
        "blue",
    ]
    percents = [event["progress"] for event in events]
    assert percents == sorted(percents) and percents[-1] < 75


def test_an_image_that_the_engine_lost_is_built_though_the_service_has_it_on_record() -> None:
    answers = {"build": image(OLD), "rebuild": build("queued"), "main": image(NEW)}
    found, events = built(Service(answers, [build("succeeded")]), is_lost=True)
    assert found == image(NEW)
    assert "not in the container engine any more" in events[0]["message"]


@pytest.mark.parametrize(
    ("ended", "says"),
    [
        (build("failed", "There is no package x."), "failed: There is no package x."),
        (build("failed"), "its log says why"),
        (build("cancelled"), "was stopped"),
    ],
)
def test_a_build_that_fails_fails_the_start_with_its_cause(ended: Build, says: str) -> None:
    with pytest.raises(prepare_image.SpawnRefused) as refused:
        built(Service({"build": build("queued")}, [ended]))
    assert says in refused.value.jupyterhub_message


def test_a_push_in_the_middle_starts_what_was_built() -> None:
    answers = {"build": build("queued"), "main": missing("queued", fallback=image(OLD))}
    found, _ = built(Service(answers, [build("succeeded")]))
    assert found == image(OLD)


def test_a_build_that_takes_too_long_is_said_to_go_on() -> None:
    async def run() -> None:
        service = Service({"build": build("running")})
        service.follow = forever  # type: ignore[method-assign, assignment]
        await prepare_image.build_image(service, CHOICE, Progress(), 0.01)  # type: ignore[arg-type]

    async def forever(build_id: int, limit: float) -> AsyncIterator[str | Build]:
        await asyncio.sleep(60)
        yield ""

    with pytest.raises(prepare_image.SpawnRefused, match="424") as refused:
        asyncio.run(run())
    assert "It goes on" in refused.value.jupyterhub_message


def test_a_page_that_is_opened_late_has_all_that_is_kept() -> None:
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


def test_events_come_in_any_pieces() -> None:
    stream = b'retry: 2000\n\n: hello\n\nid: 1.2\nevent: log\ndata: {"text": "\xc3\xa9\\n"}\n\n'
    stream += b"event: end\r\ndata: {}\r\n\r\n"
    parser = EventParser()
    events = [event for byte in stream for event in parser.feed(bytes([byte]))]
    assert events == [Event("log", {"text": "é\n"}, "1.2"), Event("end", {})]


def test_an_event_that_is_no_json_is_left_out() -> None:
    assert list(EventParser().feed(b"data: {\n\ndata: 1\n\ndata: {}\n\n")) == [Event("message", {})]


HOME = ["PATH=/bin", "REPO_DIR=/home/jovyan", "R2D_ENTRYPOINT=/home/jovyan/start"]


@pytest.mark.parametrize(
    ("mounts", "environment", "hidden"),
    [
        (["/home/jovyan"], HOME, start_failures.HiddenPaths("/home/jovyan", start=True)),
        (["/home/jovyan"], HOME[:2], start_failures.HiddenPaths("/home/jovyan")),
        (["/home"], HOME[:2], start_failures.HiddenPaths("/home")),
        (["/home/jovyan/work"], HOME, start_failures.HiddenPaths()),
        (
            ["/home/jovyan"],
            ["REPO_DIR=/srv/repo", "R2D_ENTRYPOINT=/srv/repo/start"],
            start_failures.HiddenPaths(),
        ),
        ([], HOME, start_failures.HiddenPaths()),
    ],
)
def test_what_a_volume_hides(
    mounts: list[str], environment: list[str], hidden: start_failures.HiddenPaths
) -> None:
    assert start_failures.find_hidden_paths(mounts, environment) == hidden


def test_an_image_without_the_hubs_program_is_explained() -> None:
    command = ["jupyterhub-singleuser"]
    refusal = 'OCI runtime create failed: exec: "jupyterhub-singleuser": executable file not found in $PATH'
    assert "no jupyterhub-singleuser" in (start_failures.explain_start_error(refusal, command) or "")
    assert start_failures.explain_start_error("port is already allocated", command) is None
    log = "/usr/local/bin/repo2docker-entrypoint: line 18: exec: jupyterhub-singleuser: not found\n"
    assert "no jupyterhub-singleuser" in start_failures.explain_exit("ExitCode=127", log, command)


def test_a_server_that_ended_is_explained_by_its_last_words() -> None:
    said = start_failures.explain_exit(
        "ExitCode=1, Error='', FinishedAt=x", "Traceback\nKeyError: 'A'\n\n", ["x"]
    )
    assert "KeyError: 'A'" in said
    assert "it said nothing" in start_failures.explain_exit("1", "", ["x"])
