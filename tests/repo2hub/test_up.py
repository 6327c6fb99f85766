"""`repo2hub up` as real processes: nothing to configure, and it ends whole."""

import os
import signal
import socket
import stat
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from demo.github.delivery import deliver
from repo2hub.startup import webhook_secret_file
from tests.repo2hub.web_process import REPO2HUB, Web, clean_environment, is_up, wait_until
from tests.support.registry import free_port

pytestmark = pytest.mark.slow


@dataclass
class Up:
    """`repo2hub up` on a data folder of its own."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    def start(self) -> "subprocess.Popen[str]":
        settings = {"DATA_DIR": str(self.folder), "PORT": str(self.port)} | self.settings
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [*REPO2HUB, "up"], env=clean_environment(**settings), stdout=pipe, stderr=pipe, text=True
        )

    def children(self, of: int) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{of}/task/{of}/children").read_text().split()]


def test_up_serves_with_nothing_configured_and_stops_on_sigterm(tmp_path: Path) -> None:
    up = Up(tmp_path)
    process = up.start()
    assert process.stdout is not None and process.stderr is not None
    out = process.stdout.readline()
    assert is_up(f"http://127.0.0.1:{up.port}"), out
    children = up.children(process.pid)
    process.terminate()
    with process:
        # Not `communicate`: it would lose what `readline` has read ahead.
        out, err = out + process.stdout.read(), process.stderr.read()
    assert process.returncode == 0, err
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    made = tmp_path / "webhook-secret"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert str(made) in out and "REPO2HUB_API_TOKEN" not in out
    assert made.read_text().strip() not in out + err


def test_web_goes_on_with_the_secret_that_up_made_and_makes_none(tmp_path: Path, sqlite_url: str) -> None:
    settings = {"DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": sqlite_url}
    web = Web(settings)
    code, _, err = web.run("web", **settings)
    assert (code, err.partition(":")[0]) == (2, "REPO2HUB_WEBHOOK_SECRETS")
    assert not (tmp_path / "data").exists()
    made = webhook_secret_file.ensure_secret(tmp_path / "data").read_text().strip()
    web.start()
    try:
        for signed_with, status in ((made, 200), ("another", 401)):
            answer = deliver(f"{web.url}/webhook/github", "ping", {"zen": "x"}, secret=signed_with)
            assert answer.status_code == status
    finally:
        web.stop()


def test_up_says_that_a_token_is_needed_where_it_is(tmp_path: Path) -> None:
    process = Up(tmp_path, {"AUTH": "token", "API_TOKENS": "a-token"}).start()
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(6)]
    process.terminate()
    with process:
        process.stdout.read()
    build = next(line for line in told if "repo2hub build" in line)
    assert "REPO2HUB_API_TOKEN=<a token> repo2hub build org/repo" in build


def test_up_stops_the_other_and_says_so_when_one_ends(tmp_path: Path) -> None:
    up = Up(tmp_path)
    process = up.start()
    wait_until(lambda: is_up(f"http://127.0.0.1:{up.port}"))
    web, builder = up.children(process.pid)
    os.kill(builder, signal.SIGKILL)
    _, err = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "repo2hub builder" in err
    assert not Path(f"/proc/{web}").exists()
    assert not is_up(f"http://127.0.0.1:{up.port}")


def test_up_on_a_port_that_is_taken_ends_instead_of_waiting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = Up(tmp_path / "other", port=port).start()
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    assert f"REPO2HUB_PORT: {port} is taken" in err
