"""Thousands of clients without a login, which do all that they can to occupy the server."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from db.database import Database
from db.models import Build
from db.queue import transitions
from db.records import logs
from db.status import Lease
from tests.conftest import NOW
from tests.webhook.serving import hostile_clients
from tests.webhook.serving.conftest import LIMIT, Server, Start

pytestmark = [pytest.mark.slow, pytest.mark.alone]

ANSWERED_WITHIN = 2.0
"""Seconds: GitHub gives up after 10, and does not deliver again."""
MEMORY = 400 * 2**20
"""Bytes that the server may have resident."""
DEADLINES = 5.0
"""Seconds: those of the server in this test."""
DURATION = 20.0


def _memory(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.mark.usefixtures("many_files")
def test_a_delivery_is_answered_in_time_and_memory_stays_bounded(
    start: Start, database: Database, watched_build: Build
) -> None:
    with database.write() as session:
        build = transitions.claim(session, worker="w", now=NOW)
        assert build is not None
        texts = ["x" * 30_000 + "\n"] * 200
        assert logs.append(session, Lease(build.id, build.attempt), first_seq=1, texts=texts, now=NOW)
    with database.engine.connect() as connection:  # or a delivery would have to write the log into the file
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    server = start(DEADLINES, MAX_STREAMS="1000")
    log = f"/api/v1/builds/{watched_build.id}/log"
    argv = [sys.executable, "-m", hostile_clients.__name__, str(server.port), log]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdin is not None and clients.stdout is not None
        began = time.monotonic()
        took, memory = [], []
        while time.monotonic() < began + DURATION:
            before = time.monotonic()
            assert server.deliver().json() == {"outcome": "pong"}
            took.append(time.monotonic() - before)
            memory.append(_memory(server))
            time.sleep(0.05)
        assert clients.stdout.readline().strip() == "attacking"  # all of them were connected
        while requests.get(f"{server.address}/health", timeout=LIMIT).json()["checks"][1]["open"]:
            assert time.monotonic() < began + DURATION + LIMIT  # a busy machine connects them late
            time.sleep(0.2)
        clients.stdin.close()
        closed = json.loads(clients.stdout.read())
    print(f"deliveries: median {statistics.median(took):.3f} s, slowest {max(took):.3f} s")
    print(f"memory: {memory[0] >> 20} MiB before, {max(memory) >> 20} MiB at most; closed: {closed}")
    assert max(took) < ANSWERED_WITHIN
    assert max(memory) < MEMORY
    assert closed == {
        "idle": hostile_clients.IDLE,
        "slow headers": hostile_clients.SLOW_HEADERS,
        "slow bodies": hostile_clients.SLOW_BODIES,
        "not reading": hostile_clients.NOT_READING,
    }
    assert requests.get(f"{server.address}/health", timeout=5).json()["checks"][1]["open"] == 0
