"""The build API's answers a second for an image that is there, beside BinderHub's own, in turns on one machine.

BinderHub runs in its API-only mode with `LocalRepo2dockerBuild`; each time it asks GitHub for the commit and the
registry for the image, and gets both answers from a stand-in that does nothing else. Ours asks neither.
REPO2HUB_BINDERHUB names a checkout of BinderHub, REPO2HUB_BINDERHUB_PYTHON a Python that has its requirements
(CONTRIBUTING.md).
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests

from base.settings import SharedSettings
from bench.harness import wrk
from bench.harness.rounds import print_median, print_verdict, ratios, take_turns
from bench.harness.web_processes import service
from bench.harness.wrk import Load
from bench.measurements import lookup
from demo.github.git_server import GitServer
from tests.support.registry import free_port

ROUNDS, SECONDS = 3, 4
CONNECTIONS = (1, 20)

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


def run(folder: Path) -> None:
    """Print the rates and their ratio."""
    checkout, python = os.environ.get("REPO2HUB_BINDERHUB"), os.environ.get("REPO2HUB_BINDERHUB_PYTHON")
    if not checkout or not python:
        print("  not measured: set REPO2HUB_BINDERHUB and REPO2HUB_BINDERHUB_PYTHON, see CONTRIBUTING.md")
        return
    with ExitStack() as stack:
        github = stack.enter_context(GitServer(folder / "github"))
        ours = stack.enter_context(service(folder / "ours", github))
        theirs = stack.enter_context(_binderhub(folder, checkout, python))
        recipe = SharedSettings(base_image=ours.base_image, buildpacks=("uv", "standard")).recipe()
        lookup.insert_images(f"sqlite:///{ours.data_dir / 'repo2hub.db'}", recipe)
        for connections in CONNECTIONS:

            def load(url: str, connections: int = connections) -> Load:
                return wrk.run(url, [_REQUEST], folder, connections=connections, seconds=SECONDS)

            mine, peers = take_turns(ROUNDS, lambda _: load(ours.url), lambda _: load(theirs))
            print_median(f"{connections} at once, ours", [one.per_second for one in mine], "/s")
            print_median(f"{connections} at once, BinderHub", [one.per_second for one in peers], "/s")
            times = ratios([one.per_second for one in mine], [one.per_second for one in peers])
            print_verdict(f"{connections} at once, ours / BinderHub", times, ">= 2", lambda ratio: ratio >= 2)


_REQUEST = (
    b"GET /build/gh/org/repo-7/main?build_only=true HTTP/1.1\r\n"
    b"Host: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
)


class _Outside(BaseHTTPRequestHandler):
    """GitHub's API and a registry, as far as BinderHub asks them for an image that is there."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        known = {"sha": "c" * 40} if self.path.startswith("/repos/") else {"schemaVersion": 2}
        body = json.dumps(known).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _binderhub(folder: Path, checkout: str, python: str) -> Iterator[str]:
    outside = ThreadingHTTPServer(("127.0.0.1", 0), _Outside)
    threading.Thread(target=outside.serve_forever, daemon=True).start()
    port, config = free_port(), folder / "binderhub_config.py"
    config.write_text(_CONFIG.format(port=port, host=f"127.0.0.1:{outside.server_address[1]}"))
    environment = os.environ | {"PYTHONPATH": checkout, "PATH": f"{Path(python).parent}:{os.environ['PATH']}"}
    with (folder / "binderhub.log").open("wb") as log:
        argv = [python, "-m", "binderhub", "-f", str(config)]
        process = subprocess.Popen(argv, cwd=folder, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(address, process, folder / "binderhub.log")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)
        outside.shutdown()
        outside.server_close()


def _wait_until_ready(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until BinderHub answers the request of the benchmark with its image."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            url = f"{address}/build/gh/org/repo-7/main?build_only=true"
            if (
                '"phase": "ready"'
                in requests.get(url, headers={"Accept": "text/event-stream"}, timeout=10).text
            ):
                return
        except requests.RequestException:
            pass
        time.sleep(0.5)
    raise RuntimeError(f"BinderHub did not answer with the image: {log.read_text()[-2000:]}")
