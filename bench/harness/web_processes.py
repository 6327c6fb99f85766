"""Web processes to measure: ours, and a peer on the same server."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from demo.github.git_server import GitServer
from tests.support.registry import free_port
from tests.support.service import Service


@contextmanager
def service(folder: Path, github: GitServer, role: str = "all", **settings: str) -> Iterator[Service]:
    """Run `repo2hub web` on a migrated database, without a builder, so that builds stay queued."""
    ours = Service(folder, github.url, "none", {"LOG_FORMAT": "json", **settings})
    migrated = ours.run("db", "upgrade")
    if migrated.returncode:
        raise RuntimeError(migrated.stderr)
    ours.start("web", "--role", role)
    try:
        ours.wait_until_up()
        yield ours
    finally:
        ours.stop_all()


@contextmanager
def peer(kind: str, folder: Path, database: str = "") -> Iterator[str]:
    """Run a peer of `bench.peers.flask_apps` and give its address; `database` is empty for SQLite."""
    port = free_port()
    folder.mkdir()
    argv = [sys.executable, "-m", "bench.peers.flask_apps", kind, str(port), str(folder), database]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REPO2HUB_")}
    process = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait_until_up(address: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            requests.get(address, timeout=5)
            return
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.1)
    raise RuntimeError("the peer did not start")
