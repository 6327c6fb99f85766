"""`repo2hub up` with real processes: it needs no configuration, and stops all processes when one ends."""

import os
import signal
import socket
import sqlite3
import stat
import subprocess
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from demo.github.delivery import deliver
from repo2hub.startup import webhook_secret_file
from tests.repo2hub.command_line import REPO2HUB, Web, clean_environment, is_up, run
from tests.support.registry import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@dataclass
class Up:
    """`repo2hub up` on its own data folder."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    def start(self, cwd: Path | None = None) -> "subprocess.Popen[str]":
        settings = {"DATA_DIR": str(self.folder), "PORT": str(self.port)} | self.settings
        pipe = subprocess.PIPE
        environ = clean_environment(**settings)
        return subprocess.Popen([REPO2HUB, "up"], cwd=cwd, env=environ, stdout=pipe, stderr=pipe, text=True)

    def children(self, of: int) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{of}/task/{of}/children").read_text().split()]


def test_up_needs_no_configuration_and_stops_on_sigterm(tmp_path: Path) -> None:
    up = Up(tmp_path)
    process = up.start()
    assert process.stdout is not None and process.stderr is not None
    out = process.stdout.readline()
    assert is_up(f"http://127.0.0.1:{up.port}"), out
    children = up.children(process.pid)
    process.terminate()
    with process:
        # Not `communicate`, which would lose what `readline` has buffered.
        out, err = out + process.stdout.read(), process.stderr.read()
    assert process.returncode == 0, err
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    made = tmp_path / "webhook-secret"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert str(made) in out and "REPO2HUB_API_TOKEN" not in out
    assert made.read_text().strip() not in out + err


def test_web_uses_the_secret_that_up_generated_and_generates_none(tmp_path: Path, sqlite_url: str) -> None:
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


def test_up_prints_that_a_token_is_required(tmp_path: Path) -> None:
    process = Up(tmp_path, {"AUTH": "token", "API_TOKENS": "a-token"}).start()
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    process.terminate()
    with process:
        process.stdout.read()
    build = next(line for line in lines if "repo2hub build" in line)
    assert "REPO2HUB_API_TOKEN=<a token> repo2hub build org/repo" in build


def test_up_stops_the_other_process_if_one_ends(tmp_path: Path) -> None:
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


def test_up_exits_if_the_port_is_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = Up(tmp_path / "other", port=port).start()
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    assert f"REPO2HUB_PORT: cannot listen on 127.0.0.1:{port}: it is already in use" in err


def test_up_refuses_a_role() -> None:
    code, _, err = run("up", REPO2HUB_ROLE="streams")
    assert (code, err.partition(":")[0]) == (2, "REPO2HUB_ROLE")
    assert "repo2hub web" in err


MODULES = ("base", "builder", "db", "docker", "flask", "repo2docker", "repo2hub", "sqlalchemy", "webhook")
RECORD_IMPORT = "import pathlib\npathlib.Path({marker!r}).touch()\nraise SystemExit(99)\n"


def test_the_processes_of_up_import_nothing_from_the_current_folder(tmp_path: Path) -> None:
    hostile, imported = tmp_path / "hostile", tmp_path / "imported"
    imported.mkdir()
    for name in MODULES:
        (hostile / name).mkdir(parents=True)
        code = RECORD_IMPORT.format(marker=str(imported / name))
        for file in ("__init__.py", "__main__.py"):
            (hostile / name / file).write_text(code)
    up = Up(tmp_path / "data")
    process = up.start(cwd=hostile)
    try:
        wait_until(lambda: process.poll() is not None or is_up(f"http://127.0.0.1:{up.port}"))
        wait_until(lambda: process.poll() is not None or has_builder(up.folder / "repo2hub.db"))
    finally:
        process.terminate()
        _, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert list(imported.iterdir()) == []


def has_builder(path: Path) -> bool:
    """Whether a builder has registered itself, which it does after all imports."""
    with closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("SELECT count(*) FROM builder").fetchone()[0])
