"""Restarting under load: the listening socket is inherited, as systemd does it, so nobody is refused."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from sqlalchemy import select

from db.database import Database
from db.models import Build, Delivery
from tests.webhook.serving.conftest import EVENTS, LIMIT, SECRET, deliver

pytestmark = [pytest.mark.slow, pytest.mark.alone]

RESTARTS = 4
SENDERS = 4

# What systemd does: the socket is descriptor 3 of the service, whose process id is in LISTEN_PID.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        yield listening


def _start(
    listener: socket.socket, database_url: str, data_dir: Path, *command: str
) -> "subprocess.Popen[str]":
    variables = {
        "DATABASE_URL": database_url,
        "DATA_DIR": str(data_dir),
        "WEBHOOK_SECRETS": SECRET,
        "PORT": "1",
    }
    descriptor = listener.fileno()
    return subprocess.Popen(
        [sys.executable, "-c", ACTIVATE, str(descriptor), "-m", "repo2hub", *command],
        env=os.environ | {f"REPO2HUB_{name}": value for name, value in variables.items()},
        pass_fds=[descriptor],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _wait_until_it_listens(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert any("web.listening" in line for line in process.stdout)


class _Sender(threading.Thread):
    """Sends deliveries, each on a connection of its own, until it is told to stop."""

    def __init__(self, address: str, over: threading.Event) -> None:
        super().__init__()
        self._address = address
        self._over = over
        self.acknowledged: list[str] = []
        self.failed: list[BaseException] = []

    def run(self) -> None:
        while not self._over.is_set():
            guid = str(uuid4())
            try:
                assert deliver(self._address, guid).json() == {"outcome": "pong"}
            except Exception as exc:
                self.failed.append(exc)
            else:
                self.acknowledged.append(guid)
            time.sleep(0.01)


def test_no_delivery_is_refused_or_lost_while_the_process_restarts(
    listener: socket.socket, database: Database, database_url: str, tmp_path: Path
) -> None:
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    process = _start(listener, database_url, tmp_path, "web")
    over = threading.Event()
    senders = [_Sender(address, over) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        for _ in range(RESTARTS):
            _wait_until_it_listens(process)
            time.sleep(0.5)
            process.terminate()
            output, _ = process.communicate(timeout=LIMIT)
            assert process.returncode == 0 and "Traceback" not in output, output
            process = _start(listener, database_url, tmp_path, "web")
        _wait_until_it_listens(process)
    finally:
        over.set()
        for sender in senders:
            sender.join(LIMIT)
        process.terminate()
        process.communicate(timeout=LIMIT)
    assert not [sender.failed for sender in senders if sender.failed]
    acknowledged = {guid for sender in senders for guid in sender.acknowledged}
    assert len(acknowledged) > SENDERS * RESTARTS
    with database.read() as session:
        assert acknowledged <= set(session.scalars(select(Delivery.guid)))


def test_up_gives_its_socket_to_the_web_process(
    listener: socket.socket, database_url: str, tmp_path: Path
) -> None:
    process = _start(listener, database_url, tmp_path, "up")
    try:
        _wait_until_it_listens(process)
        assert deliver(f"http://127.0.0.1:{listener.getsockname()[1]}").json() == {"outcome": "pong"}
    finally:
        process.terminate()
        process.communicate(timeout=2 * LIMIT)
    assert process.returncode == 0


def test_viewers_reconnect_to_the_process_that_comes_after(
    listener: socket.socket, database_url: str, tmp_path: Path, watched_build: Build
) -> None:
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    log = f"{address}/api/v1/builds/{watched_build.id}/log"
    process = _start(listener, database_url, tmp_path, "web")
    try:
        _wait_until_it_listens(process)
        stream = requests.get(log, headers=EVENTS, stream=True, timeout=LIMIT)
        process.terminate()
        assert b"event: end" not in b"".join(stream.iter_content())
        process.communicate(timeout=LIMIT)
        process = _start(listener, database_url, tmp_path, "web")
        again = requests.get(log, headers=EVENTS, stream=True, timeout=LIMIT)
        assert next(again.iter_content(16)).startswith(b"retry: ")
        again.close()
    finally:
        process.terminate()
        process.communicate(timeout=LIMIT)
    assert process.returncode == 0
