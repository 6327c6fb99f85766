"""Responses of the build API per second for an image that exists, beside BinderHub's own, in turns.

BinderHub runs in its API-only mode with `LocalRepo2dockerBuild`. For each request it asks GitHub for the commit
and the registry for the image; a stand-in answers both. Our service asks neither. Set REPO2HUB_BINDERHUB to a
checkout of BinderHub and REPO2HUB_BINDERHUB_PYTHON to a Python that has its requirements (CONTRIBUTING.md).
"""

import os
from contextlib import ExitStack
from pathlib import Path

from base.settings import SharedSettings
from bench.harness import wrk
from bench.harness.rounds import print_median, print_verdict, ratios, take_turns
from bench.harness.web_processes import service
from bench.harness.wrk import Load
from bench.inputs.images import insert_images
from bench.peers.binderhub import PATH, binderhub
from demo.github.git_server import GitServer

ROUNDS, SECONDS = 3, 4
CONNECTIONS = (1, 20)
_REQUEST = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n".encode()


def run(folder: Path) -> None:
    """Print the rates and their ratio."""
    checkout, python = os.environ.get("REPO2HUB_BINDERHUB"), os.environ.get("REPO2HUB_BINDERHUB_PYTHON")
    if not checkout or not python:
        print("  not measured: set REPO2HUB_BINDERHUB and REPO2HUB_BINDERHUB_PYTHON, see CONTRIBUTING.md")
        return
    with ExitStack() as stack:
        github = stack.enter_context(GitServer(folder / "github"))
        ours = stack.enter_context(service(folder / "ours", github))
        theirs = stack.enter_context(binderhub(folder, checkout, python))
        recipe = SharedSettings(base_image=ours.base_image, buildpacks=("uv", "standard")).recipe()
        insert_images(f"sqlite:///{ours.data_dir / 'repo2hub.db'}", recipe)
        for connections in CONNECTIONS:

            def load(url: str, connections: int = connections) -> Load:
                return wrk.run(url, [_REQUEST], folder, connections=connections, seconds=SECONDS)

            mine, peers = take_turns(ROUNDS, lambda _: load(ours.url), lambda _: load(theirs))
            print_median(f"{connections} connections, ours", [one.per_second for one in mine], "/s")
            print_median(f"{connections} connections, BinderHub", [one.per_second for one in peers], "/s")
            rates = ratios([one.per_second for one in mine], [one.per_second for one in peers])
            print_verdict(
                f"{connections} connections, ours / BinderHub", rates, ">= 2", lambda ratio: ratio >= 2
            )
