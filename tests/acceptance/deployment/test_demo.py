"""`python -m demo`, as `make run` calls it: it does all steps, and leaves nothing running however it ends."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import docker
import pytest

from tests.support.registry import free_port

pytestmark = pytest.mark.engine


def start_demo(cache: Path, base_image: str, port: int) -> "subprocess.Popen[str]":
    ours = {"REPO2HUB_CACHE": str(cache), "REPO2HUB_BASE_IMAGE": base_image, "REPO2HUB_PORT": str(port)}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("REPO2HUB_") or name == "REPO2HUB_EXTRA_CA_CERTS"
    }
    return subprocess.Popen(
        [sys.executable, "-m", "demo"],
        env=kept | ours,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(f"{words!r} was never said; {process.communicate()[1]}")


def processes_of(cache: Path) -> list[int]:
    """Return the processes that work for the demo of this folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"REPO2HUB_DATA_DIR={cache}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def containers(engine: docker.DockerClient) -> set[str]:
    return {str(one.name) for one in engine.containers.list(all=True, filters={"name": "repo2hub-demo-"})}


@pytest.fixture
def there_before(engine: docker.DockerClient) -> set[str]:
    return containers(engine)


def nothing_is_left(engine: docker.DockerClient, cache: Path, there_before: set[str]) -> None:
    deadline = time.monotonic() + 30
    while processes_of(cache) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(cache) == []
    assert containers(engine) - there_before == set()


def test_the_demo_goes_from_a_push_to_jupyterlab_and_ends_with_a_table(
    tmp_path: Path, base_image: str, engine: docker.DockerClient, there_before: set[str]
) -> None:
    process = start_demo(tmp_path, base_image, free_port())
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    table = out.partition("STEP  ")[2].splitlines()[1:]
    steps = [line.split()[0] for line in table if line and "service is running at" not in line]
    assert steps == ["start", "push", "build", "lookup", "run", "push", "build", "lookup", "compare"]
    assert "only sunflower.ipynb" in out
    assert "JupyterLab answers in the image" in out
    nothing_is_left(engine, tmp_path, there_before)


@pytest.mark.parametrize("words", ["== build", "== run"])
def test_a_demo_that_is_stopped_leaves_nothing_running(
    words: str, tmp_path: Path, base_image: str, engine: docker.DockerClient, there_before: set[str]
) -> None:
    process = start_demo(tmp_path, base_image, free_port())
    read_until(process, words)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=100)
    assert (process.returncode, err.splitlines()[-1]) == (130, "Interrupted. Everything is stopped.")
    nothing_is_left(engine, tmp_path, there_before)


def test_a_builder_that_dies_ends_the_demo_with_a_message(tmp_path: Path, base_image: str) -> None:
    process = start_demo(tmp_path, base_image, free_port())
    read_until(process, "== build")
    builder = next(
        pid for pid in processes_of(tmp_path) if b"\0builder\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(builder, signal.SIGKILL)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "`builder` ended unexpectedly" in err


def test_two_demos_do_not_share_a_folder(tmp_path: Path, base_image: str) -> None:
    (tmp_path / "demo").mkdir()
    with (tmp_path / "demo" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = start_demo(tmp_path, base_image, free_port())
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "Another demo of this user is running. Stop that one first.\n")
