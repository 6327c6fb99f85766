"""`repo2hub build`, `builds`, `log` and `cancel` with a real web process."""

import json
import signal
import subprocess
import threading
from collections.abc import Callable

import pytest

from db.models import Build
from db.queue.transitions import BuildResult
from db.status import Status
from tests.repo2hub.command_line import Web
from tests.repo2hub.commands.conftest import HOSTILE, Builder

pytestmark = pytest.mark.slow


def following(web: Web, name: str, builder: Builder) -> "tuple[subprocess.Popen[str], Build]":
    """Start `repo2hub build` and return it with the running build, after the first line of the log."""
    process = web.popen("build", name)
    assert process.stdout is not None
    build = builder.claim()
    builder.write(build, 1, "step 1\n")
    assert process.stdout.readline() == "step 1\n"
    return process, build


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_build_follows_the_log_and_prints_the_image(
    web: Web, name: str, image: str, builder: Builder
) -> None:
    working = in_background(builder.succeed)
    code, out, err = web.run("build", f"{name}@main")
    working.join()
    assert code == 0, err
    assert out.splitlines() == ["step 1", "red step 2", image]
    assert "\x1b" not in out + err
    code, out, err = web.run("build", name)
    assert (code, out) == (0, f"{image}\n")
    assert "already exists" in err


def test_a_failed_build_prints_the_reason_and_exits_with_1(web: Web, name: str, builder: Builder) -> None:
    working = in_background(lambda: builder.fail(f"No package numpyy {HOSTILE}"))
    code, out, err = web.run("build", name, "--json")
    working.join()
    assert (code, json.loads(out)["status"]) == (1, "failed")
    assert "No package numpyy" in err
    assert "\x1b" not in err


def test_ctrl_c_leaves_the_build_running_and_prints_how_to_cancel_it(
    web: Web, name: str, builder: Builder
) -> None:
    process, build = following(web, name, builder)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"repo2hub cancel {build.id}" in err
    assert json.loads(web.run("builds", "--repository", name, "--json")[1])[0]["status"] == "running"


def test_a_log_continues_where_it_was_after_a_restart_of_the_service(
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


def test_builds_can_be_listed_filtered_and_cancelled(web: Web, name: str) -> None:
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


def test_the_log_of_an_ended_build_can_be_printed(web: Web, name: str, builder: Builder) -> None:
    web.run("build", name, "--no-follow")
    build = builder.succeed()
    assert web.run("log", str(build.id))[:2] == (0, "step 1\nred step 2\n")
