"""Programs are shell scripts on PATH and services small HTTP servers, so the checks themselves are real."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from repo2hub.doctor.finding import Finding, Level

VERSIONS = json.dumps({"Client": {"Version": "28.2.2"}, "Server": {"Version": "20.10.24"}})

Program = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def clean_machine(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("DOCKER_"):
            environment.delenv(name)
    environment.setenv("REPO2HUB_DATA_DIR", str(tmp_path / "data"))
    environment.setenv("REPO2HUB_GITHUB_URL", "http://127.0.0.1:9")


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Program:
    """Put a shell script on an otherwise empty PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Start servers that answer every request with a status and a body; return their addresses."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, body: bytes = b"") -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def level(finding: Finding | None) -> Level | None:
    return finding.level if finding else None


def part(findings: list[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.part == name)
