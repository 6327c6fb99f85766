"""Real servers in processes of their own, which can be attacked, restarted and watched by thousands."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from db.database import Database
from db.models import Build
from db.queue import enqueue
from db.records import refs, repositories
from db.status import Trigger
from tests.conftest import COMMIT, NOW
from tests.webhook.slow_git import SlowGit
from webhook.github.signature import HEADER, sign
from webhook.settings import WebSettings

LIMIT = 30.0
"""Seconds after which a test gives up waiting."""
STREAMS = 3
"""How many logs may be followed at once, unless a test says otherwise."""
SECRET = "secret"
EVENTS = {"Accept": "text/event-stream"}

PROGRAM = """
import sys
from webhook.lookup import ls_remote
from webhook.serving import connections, request_body, server
from webhook.settings import WebSettings
connections.HEADER_LIMIT = connections.SEND_LIMIT = request_body.READ_LIMIT = float(sys.argv[1])
ls_remote.TIME_LIMIT = 60
server.run(WebSettings.load())
print("the caller goes on")
"""


@dataclass
class Server:
    """A server and its process."""

    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)

    def deliver(self) -> requests.Response:
        """Send a signed delivery on a connection of its own, as GitHub does."""
        return deliver(self.address)

    def stop(self) -> None:
        """Send SIGTERM; the server must end well."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(LIMIT)
        output = self.log.read_text()
        assert self.process.returncode == 0, output
        assert output.count("the caller goes on") == 1, output
        assert "Traceback" not in output, output


def deliver(address: str, guid: str = "") -> requests.Response:
    body = b'{"zen": "", "hook_id": 1, "hook": {"events": ["push"]}}'
    headers = {
        "X-GitHub-Event": "ping",
        "X-GitHub-Delivery": guid or str(uuid4()),
        HEADER: sign(body, SECRET.encode()),
    }
    headers["Content-Type"] = "application/json"
    return requests.post(f"{address}/webhook/github", body, headers=headers, timeout=LIMIT)


def wait_until_up(address: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + LIMIT
    while True:
        assert process.poll() is None and time.monotonic() < deadline
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.1)


def _limited(files: str) -> list[str]:
    """Return a command that runs another one with a limit of open files: a number, or the hard limit."""
    number = str(resource.getrlimit(resource.RLIMIT_NOFILE)[1]) if files == "hard" else files
    return ["/bin/sh", "-c", f'ulimit -n {number}; exec "$@"', "sh"]


@pytest.fixture
def git(tmp_path: Path) -> SlowGit:
    """What the server runs as git."""
    folder = tmp_path / "git"
    folder.mkdir()
    return SlowGit(folder)


Start = Callable[..., Server]


@pytest.fixture
def start(settings: WebSettings, database_url: str, tmp_path: Path, git: SlowGit) -> Iterator[Start]:
    """Start servers; what still runs at the end must end well on SIGTERM."""
    started: list[Server] = []

    def start_one(deadlines: float = 1, files: str = "hard", **more: str) -> Server:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        variables = {
            "DATABASE_URL": database_url,
            "DATA_DIR": str(tmp_path),
            "WEBHOOK_SECRETS": SECRET,
            "PORT": str(port),
            "MAX_STREAMS": str(STREAMS),
            **more,
        }
        log = tmp_path / f"server-{port}.log"
        environ = {f"REPO2HUB_{name}": value for name, value in variables.items()}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*_limited(files), sys.executable, "-c", PROGRAM, str(deadlines)],
                env=os.environ | {"PATH": git.path} | environ,
                stdout=output,
                stderr=output,
            )
        server = Server(port, process, log)
        started.append(server)
        wait_until_up(server.address, process)
        return server

    try:
        yield start_one
        for server in started:
            if server.process.poll() is None:
                server.stop()
    finally:
        for server in started:
            server.process.kill()
            server.process.wait()


@pytest.fixture
def server(start: Start) -> Server:
    """A server whose deadlines are a second long."""
    return start()


@pytest.fixture
def watched_build(settings: WebSettings, database: Database) -> Build:
    """A queued build of Org/Repo."""
    with database.write() as session:
        repository = repositories.record(session, full_name="Org/Repo", webhook_active=True, now=NOW)
        refs.record_push(
            session, repository, ref="refs/heads/main", commit=COMMIT, before=None, pushed_at=NOW, now=NOW
        )
        asked = enqueue.enqueue(
            session,
            repository=repository,
            ref="refs/heads/main",
            commit=COMMIT,
            recipe=settings.recipe(),
            trigger=Trigger.PUSH,
            now=NOW,
        )
    assert asked.build is not None
    return asked.build


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process and its children open as many files as the machine lets them."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
