"""2,000 viewers of one running log."""

import json
import subprocess
import sys

import pytest

from bench.harness import log_viewers
from db.database import Database
from db.models import Build
from db.queue import transitions
from db.queue.transitions import BuildResult
from db.records import logs
from db.status import Lease, Reason, Status
from tests.conftest import NOW
from tests.webhook.serving.conftest import Start

pytestmark = [pytest.mark.slow, pytest.mark.alone]

VIEWERS, LINES = 2000, 30


@pytest.mark.usefixtures("many_files")
def test_each_gets_every_line_in_order_while_deliveries_are_answered(
    start: Start, database: Database, watched_build: Build
) -> None:
    with database.write() as session:
        build = transitions.claim(session, worker="w", now=NOW)
    assert build is not None
    lease = Lease(watched_build.id, build.attempt)
    server = start(MAX_STREAMS=str(VIEWERS))
    argv = [
        sys.executable,
        "-m",
        log_viewers.__name__,
        str(server.port),
        "gh/org/repo/main",
        str(VIEWERS),
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as viewers:
        assert viewers.stdout is not None
        assert viewers.stdout.readline().strip() == "connected"
        for number in range(1, LINES + 1):
            with database.write() as session:
                text = f"line {number} at 0\n"
                assert logs.append(session, lease, first_seq=number, texts=[text], now=NOW)
            assert server.deliver().json() == {"outcome": "pong"}
        with database.write() as session:
            ended = BuildResult(Status.FAILED, Reason.USER_ERROR)
            assert transitions.finish(session, lease, ended, now=NOW)
        report = json.loads(viewers.stdout.readline())
    assert report["lines"] == [list(range(1, LINES + 1))] * VIEWERS
