"""The real command line against a real web process on loopback; the test itself stands in for the builder."""

import itertools
import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from db.database import Database
from db.models import Build
from db.queue import transitions
from db.queue.transitions import BuildResult
from db.records import images, logs
from db.status import Lease, Reason, Status
from demo.github.bare_repository import BareRepository
from demo.github.delivery import deliver, push_payload
from demo.github.git_server import GitServer
from repo2hub.client.service import NOT_FOUND_CODES
from tests.repo2hub.web_process import REPO2HUB, Web, clean_environment, wait_until
from webhook.http.errors import RESOLVE_ERROR_STATUS
from webhook.http.parameters import unknown_build

pytestmark = pytest.mark.slow

SECRET = "a secret for deliveries"
HOSTILE = "\x1b]0;gotcha\x07\x1b[2J\x1b[31mred\x1b[0m"


@pytest.fixture(scope="module")
def folder(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the module's service, with its database."""
    folder = tmp_path_factory.mktemp("service")
    shutil.copy(sqlite_template, folder / "repo2hub.db")
    return folder


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("github")) as server:
        yield server


@pytest.fixture(scope="module")
def web(folder: Path, github: GitServer) -> Iterator[Web]:
    web = Web(
        {
            "DATA_DIR": str(folder),
            "GITHUB_URL": github.url,
            "WEBHOOK_SECRETS": SECRET,
            "BANNED_REPOSITORIES": "evil/*",
        }
    )
    web.start()
    yield web
    web.stop()


_numbers = itertools.count(1)


@pytest.fixture
def pushed(github: GitServer) -> BareRepository:
    """A repository of the test's own, with one commit."""
    repository = github.create(f"Org/Pushed-{next(_numbers)}")
    repository.commit({"README.md": "hello"})
    return repository


@pytest.fixture
def name(pushed: BareRepository) -> str:
    return pushed.full_name.lower()


@pytest.fixture
def image(pushed: BareRepository) -> str:
    """The name under which `Builder` records the image of the first commit."""
    return image_of(str(pushed.head()))


def image_of(commit: str) -> str:
    return f"repo2hub/org/pushed:{commit[:7]}"


@dataclass
class Builder:
    """Does with a queued build what a test says."""

    database: Database

    def claim(self) -> Build:
        claimed: list[Build] = []

        def take() -> bool:
            with self.database.write() as session:
                build = transitions.claim(session, worker="the test", now=datetime.now(UTC))
            claimed.extend([build] if build is not None else [])
            return bool(claimed)

        wait_until(take)
        return claimed[0]

    def write(self, build: Build, seq: int, *texts: str) -> None:
        lease = Lease(build.id, build.attempt)
        with self.database.write() as session:
            assert logs.append(session, lease, first_seq=seq, texts=texts, now=datetime.now(UTC))

    def end(self, build: Build, result: BuildResult) -> None:
        now = datetime.now(UTC)
        with self.database.write() as session:
            assert transitions.finish(session, Lease(build.id, build.attempt), result, now=now)
            if result.status is Status.SUCCEEDED:
                images.record(
                    session,
                    build=build,
                    recipe=build.recipe,
                    name=image_of(build.commit),
                    digest=None,
                    size=1,
                    now=now,
                )

    def succeed(self) -> Build:
        build = self.claim()
        self.write(build, 1, "step 1\n", f"{HOSTILE} step 2\n")
        self.end(build, BuildResult(Status.SUCCEEDED))
        return build

    def fail(self, message: str) -> Build:
        build = self.claim()
        self.end(build, BuildResult(Status.FAILED, Reason.USER_ERROR, "package_not_found", message))
        return build


@pytest.fixture
def builder(folder: Path) -> Iterator[Builder]:
    database = Database(f"sqlite:///{folder / 'repo2hub.db'}")
    yield Builder(database)
    database.dispose()


def following(web: Web, name: str, builder: Builder) -> "tuple[subprocess.Popen[str], Build]":
    """Ask for a build by command and return it as it is followed, its first line read."""
    process = web.popen("build", name)
    assert process.stdout is not None
    build = builder.claim()
    builder.write(build, 1, "step 1\n")
    assert process.stdout.readline() == "step 1\n"
    return process, build


def meanwhile(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_build_follows_the_log_and_ends_with_the_image(
    web: Web, name: str, image: str, builder: Builder
) -> None:
    working = meanwhile(builder.succeed)
    code, out, err = web.run("build", f"{name}@main")
    working.join()
    assert code == 0, err
    assert out.splitlines() == ["step 1", "red step 2", image]
    assert "\x1b" not in out + err
    code, out, err = web.run("build", name)
    assert (code, out) == (0, f"{image}\n")
    assert "there already" in err


def test_a_build_that_fails_says_why_and_exits_with_one(web: Web, name: str, builder: Builder) -> None:
    working = meanwhile(lambda: builder.fail(f"No package numpyy {HOSTILE}"))
    code, out, err = web.run("build", name, "--json")
    working.join()
    assert (code, json.loads(out)["status"]) == (1, "failed")
    assert "No package numpyy" in err
    assert "\x1b" not in err


def test_ctrl_c_leaves_the_build_running_and_says_how_to_stop_it(
    web: Web, name: str, builder: Builder
) -> None:
    process, build = following(web, name, builder)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"repo2hub cancel {build.id}" in err
    assert json.loads(web.run("builds", "--repository", name, "--json")[1])[0]["status"] == "running"


def test_a_log_goes_on_where_it_was_when_the_service_comes_back(
    web: Web, name: str, image: str, builder: Builder
) -> None:
    process, build = following(web, name, builder)
    web.stop()
    builder.write(build, 2, "step 2\n")
    web.start()
    builder.write(build, 3, "step 3\n")
    builder.end(build, BuildResult(Status.SUCCEEDED))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.splitlines() == ["step 2", "step 3", image]


def test_lookup_prints_the_name_alone_and_tells_why_there_is_none(
    web: Web, pushed: BareRepository, name: str, image: str, builder: Builder
) -> None:
    code, out, err = web.run("lookup", name)
    assert (code, out, err.partition(":")[0]) == (3, "", "none")
    web.run("build", f"{name}@main", "--no-follow")
    builder.succeed()
    assert web.run("lookup", name) == (0, f"{image}\n", "")
    # The next push has no image yet, but the one before may do.
    commit = pushed.commit({"README.md": "hello again"})
    payload = push_payload(pushed.full_name, commit=commit)
    assert deliver(f"{web.url}/webhook/github", "push", payload, secret=SECRET).status_code == 202
    code, out, err = web.run("lookup", f"{name}@main")
    assert (code, out) == (3, "")
    assert err.startswith("queued: ")
    assert image in err
    code, out, _ = web.run("lookup", name, "--json")
    assert (code, json.loads(out)["fallback"]["image"]) == (3, image)
    builder.fail("enough")


def test_builds_are_listed_filtered_and_cancelled(web: Web, name: str) -> None:
    code, out, err = web.run("build", name, "--no-follow")
    assert code == 0, err
    build_id = out.strip()
    assert web.run("builds", "--limit", "1")[1].splitlines()[1].split()[:3] == [build_id, name, "main"]
    assert web.run("cancel", build_id)[0] == 0
    code, _, err = web.run("cancel", build_id)
    assert (code, len(err.splitlines())) == (1, 1)
    shown = web.run("builds", "--repository", name, "--ref", "main", "--status", "cancelled")[1]
    assert "cancelled (requested)" in shown
    assert json.loads(web.run("builds", "--repository", name, "--status", "running", "--json")[1]) == []


def test_the_log_of_a_build_can_be_read_again(web: Web, name: str, builder: Builder) -> None:
    web.run("build", name, "--no-follow")
    build = builder.succeed()
    assert web.run("log", str(build.id))[:2] == (0, "step 1\nred step 2\n")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("build", "NAME@nosuch"), 3),
        (("lookup", "org/nosuch"), 3),
        (("build", "evil/repo"), 2),
        (("build", "NAME@-x..y"), 2),
        (("cancel", "99999"), 3),
        (("log", "99999"), 3),
    ],
)
def test_what_the_service_refuses_is_one_line_and_an_exit_code(
    words: tuple[str, ...], code: int, web: Web, name: str
) -> None:
    got, out, err = web.run(*(word.replace("NAME", name) for word in words))
    assert (got, out, len(err.splitlines())) == (code, "", 1), err


def test_a_server_that_is_not_ours_counts_as_not_there(github: GitServer) -> None:
    environment = clean_environment(SERVER=github.url)
    asked = subprocess.run(
        [*REPO2HUB, "lookup", "a/b"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (asked.returncode, asked.stdout) == (4, "")


def test_a_token_is_asked_for_and_taken_from_the_environment(
    sqlite_url: str,
) -> None:
    settings = {"DATABASE_URL": sqlite_url, "WEBHOOK_SECRETS": SECRET}
    closed = Web(settings | {"AUTH": "token", "API_TOKENS": "first-token,second-token"})
    closed.start()
    try:
        code, _, err = closed.run("builds")
        assert (code, len(err.splitlines())) == (2, 1)
        assert closed.run("builds", API_TOKEN="second-token")[0] == 0
        assert closed.run("builds", "--token", "wrong")[0] == 2
    finally:
        closed.stop()


def test_behind_a_hub_the_service_is_found_by_the_variables_that_it_was_started_with(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = {
        "JUPYTERHUB_API_TOKEN": "a token",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api",
        "JUPYTERHUB_CLIENT_ID": "service-binder",
        "JUPYTERHUB_SERVICE_NAME": "binder",
        "JUPYTERHUB_SERVICE_PREFIX": "/services/binder/",
    }
    for name, value in hub.items():
        monkeypatch.setenv(name, value)
    settings = {"DATABASE_URL": sqlite_url, "WEBHOOK_SECRETS": SECRET}
    settings |= {"AUTH": "jupyterhub", "API_TOKENS": "a-token"}
    behind = Web(settings, base="/services/binder")
    behind.start()
    try:
        here = settings | {"SERVER": "", "PORT": str(behind.port)}
        code, out, err = behind.run("builds", "--json", **here)
        assert (code, json.loads(out)) == (0, []), err
        # A path at which it is not says nothing of an image.
        code, _, err = behind.run("lookup", "org/repo", **here | {"BASE_URL": "/"})
        assert (code, len(err.splitlines())) == (4, 1) and "base path included" in err
    finally:
        behind.stop()


def test_the_codes_of_the_services_404s_are_known_to_the_commands() -> None:
    theirs = {code for code, status in RESOLVE_ERROR_STATUS.items() if status == 404} | {unknown_build().code}
    assert theirs == NOT_FOUND_CODES
