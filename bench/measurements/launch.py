"""From Start to a server that answers, with an image that is ready, on a real hub with DockerSpawner.

Compared with `docker run` of the same image until its JupyterLab answers. The time of the lookup is from the
hub's log. Both may use all cores.
"""

import json
import os
import re
import time
from pathlib import Path

import docker
import requests

from bench.harness.rounds import print_median, print_verdict, ratios, take_turns
from bench.inputs.base_images import BASE_IMAGE_VARIABLE
from demo.jupyterlab import JupyterLabContainer
from tests.acceptance.launcher.hub_with_launcher import Launcher, launcher

ROUNDS = 7
_TIMEOUT = 120


def run(folder: Path) -> None:
    """Print the time of a start, of its parts, and its ratio to `docker run` of the same image."""
    engine = docker.from_env()
    try:
        with launcher(folder, os.environ[BASE_IMAGE_VARIABLE], engine, None) as launcher_site:
            _measure(launcher_site)
    finally:
        engine.close()


def _measure(launcher_site: Launcher) -> None:
    session = launcher_site.hub.login("bench")
    _through_hub(launcher_site, session)  # the first start reads everything from the disk
    ours, bare = take_turns(
        ROUNDS,
        lambda _number: _through_hub(launcher_site, session),
        lambda _number: _bare(launcher_site.image),
    )
    lookups = _lookups(launcher_site)
    redirected = [redirect for redirect, _ in ours]
    answered = [answer for _, answer in ours]
    print_median("Start to redirect", redirected, "s")
    print_median("  lookup", [1000 * one for one in lookups], "ms")
    print_median("  spawn", [all_ - one for all_, one in zip(redirected, lookups, strict=True)], "s")
    print_median("Start to JupyterLab answering", answered, "s")
    print_median("docker run to JupyterLab answering", bare, "s")
    print_verdict(
        "answering, ours / docker run", ratios(answered, bare), "<= 1.1", lambda ratio: ratio <= 1.1
    )


def _through_hub(launcher_site: Launcher, session: requests.Session) -> tuple[float, float]:
    """Submit the form; return the seconds until the hub redirects to the server, and until JupyterLab answers."""
    hub = launcher_site.hub
    choice = {"choice": "build", "repo": launcher_site.hello.full_name, "ref": "main", "resources": "Large"}
    params = {"_xsrf": hub.xsrf(session)}
    started = time.perf_counter()
    submitted = session.post(
        f"{hub.url}/hub/spawn", data=choice, params=params, allow_redirects=False, timeout=_TIMEOUT
    )
    if submitted.status_code != 302:
        raise RuntimeError(submitted.text[-2000:])
    _wait_until_ready(launcher_site, session)
    redirected = time.perf_counter() - started
    answer = session.get(f"{hub.url}/user/bench/api", timeout=_TIMEOUT)
    answer.raise_for_status()
    answered = time.perf_counter() - started
    hub.api("DELETE", "users/bench/server")
    return redirected, answered


def _wait_until_ready(launcher_site: Launcher, session: requests.Session) -> None:
    """Follow the progress as the hub's page does, until the event that redirects to the server."""
    address = f"{launcher_site.hub.url}/hub/api/users/bench/server/progress"
    params = {"_xsrf": launcher_site.hub.xsrf(session)}
    with session.get(address, params=params, stream=True, timeout=_TIMEOUT) as progress:
        for line in progress.iter_lines(chunk_size=1):
            event = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else {}
            if event.get("ready"):
                return
            if event.get("failed"):
                raise RuntimeError(event["message"])
    raise RuntimeError("the progress ended without a result")


def _bare(image: str) -> float:
    """Return the seconds from `docker run` until its JupyterLab answers."""
    started = time.perf_counter()
    with JupyterLabContainer(image) as lab:
        lab.wait(_TIMEOUT)
        return time.perf_counter() - started


def _lookups(launcher_site: Launcher) -> list[float]:
    """Return the seconds of the measured lookups, from the hub's log."""
    log = launcher_site.hub.log_path.read_text(errors="replace")
    found = [float(seconds) for seconds in re.findall(r"Looked up \S+ at main in ([0-9.]+) s", log)]
    return found[-ROUNDS:]
