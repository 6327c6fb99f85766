"""BinderHub in its API-only mode, with a stand-in for GitHub's API and for the registry."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests

from tests.support.registry import free_port

PATH = "/build/gh/org/repo-7/main?build_only=true"
"""The build request that is measured."""
_CONFIG = """
from binderhub.build_local import LocalRepo2dockerBuild
from binderhub.quota import LaunchQuota
c.BinderHub.port = {port}
c.BinderHub.enable_api_only_mode = True
c.BinderHub.builder_required = False
c.BinderHub.build_class = LocalRepo2dockerBuild
c.BinderHub.build_cleaner_class = None
c.BinderHub.launch_quota_class = LaunchQuota
c.BinderHub.use_registry = True
c.BinderHub.image_prefix = "{host}/binder/"
c.DockerRegistry.url = "http://{host}"
c.DockerRegistry.token_url = ""
c.GitHubRepoProvider.api_base_path = "http://{host}"
c.RateLimiter.limit = 0
"""


class _GitHubAndRegistry(BaseHTTPRequestHandler):
    """Answers each request of BinderHub for an image that exists."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        answer = {"sha": "c" * 40} if self.path.startswith("/repos/") else {"schemaVersion": 2}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def binderhub(folder: Path, checkout: str, python: str) -> Iterator[str]:
    """Run BinderHub from a checkout and give its address, once it answers the request with its image."""
    outside = ThreadingHTTPServer(("127.0.0.1", 0), _GitHubAndRegistry)
    threading.Thread(target=outside.serve_forever, daemon=True).start()
    port, config = free_port(), folder / "binderhub_config.py"
    config.write_text(_CONFIG.format(port=port, host=f"127.0.0.1:{outside.server_address[1]}"))
    environment = os.environ | {"PYTHONPATH": checkout, "PATH": f"{Path(python).parent}:{os.environ['PATH']}"}
    log_path = folder / "binderhub.log"
    with log_path.open("wb") as log:
        argv = [python, "-P", "-m", "binderhub", "-f", str(config)]
        process = subprocess.Popen(argv, cwd=folder, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(address, process, log_path)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)
        outside.shutdown()
        outside.server_close()


def _wait_until_ready(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 90
    headers = {"Accept": "text/event-stream"}
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(requests.RequestException):
            if '"phase": "ready"' in requests.get(f"{address}{PATH}", headers=headers, timeout=10).text:
                return
        time.sleep(0.5)
    raise RuntimeError(f"BinderHub did not answer with the image: {log.read_text()[-2000:]}")
