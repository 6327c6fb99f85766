"""Two web processes behind a real nginx with the configuration of docs/operations.md."""

import json
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from db.database import Database
from db.queue import transitions
from db.queue.transitions import BuildResult
from db.records import logs
from db.status import Lease, Reason, Status
from demo.github.bare_repository import BareRepository
from demo.github.delivery import deliver, push_payload
from demo.github.git_server import GitServer
from tests.conftest import ROOT, TEMPLATE, database_of
from tests.support.registry import free_port
from tests.support.service import SECRET, Service

pytestmark = pytest.mark.slow
LIMIT = 60.0
"""Seconds after which a test gives up waiting."""
TOKEN = "an-api-token"
TOLD = {"Authorization": f"Bearer {TOKEN}"}
EVENTS = TOLD | {"Accept": "text/event-stream"}


@dataclass(frozen=True)
class Site:
    """The address at nginx, and the two processes behind it."""

    url: str
    webhook: Service
    streams_url: str
    database: Database

    def metric(self, url: str, name: str) -> float:
        found = re.search(
            rf"^{re.escape(name)} (\S+)$", requests.get(f"{url}/metrics", timeout=LIMIT).text, re.M
        )
        assert found, name
        return float(found[1])


def documented(webhook: int, streams: int) -> str:
    """Return the configuration that the document shows, for these ports."""
    text = (ROOT / "docs" / "operations.md").read_text()
    (block,) = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    changed = block.replace("127.0.0.1:8585", f"127.0.0.1:{webhook}").replace(
        "127.0.0.1:8586", f"127.0.0.1:{streams}"
    )
    assert changed.count("proxy_pass http://127.0.0.1:") == 2
    return changed


def nginx(folder: Path, port: int, inside: str) -> "subprocess.Popen[bytes]":
    """Start nginx in the foreground, with everything it writes in one folder."""
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"{user}daemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n"
        "events { worker_connections 256; }\n"
        f"http {{\naccess_log {folder}/access.log;\n{places}"
        f"server {{\nlisten 127.0.0.1:{port};\n{inside}}}\n}}\n"
    )
    argv = ["/usr/sbin/nginx", "-p", str(folder), "-c", str(configuration), "-e", str(folder / "error.log")]
    checked = subprocess.run([*argv, "-t"], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert checked.returncode == 0, checked.stderr
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("github")) as server:
        yield server


@pytest.fixture
def repository(github: GitServer) -> BareRepository:
    """A new, empty repository at GitHub, with a name of its own."""
    return github.create(f"Org/repo-{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def address_of_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A migrated database for all tests of the module, of each kind."""
    if request.param == "postgresql":
        template = request.getfixturevalue("postgresql_template")
        with database_of(template, f"nginx_{os.getpid()}", f"TEMPLATE {TEMPLATE}") as address:
            yield address
    else:
        path = tmp_path_factory.mktemp("database") / "repo2hub.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, github: GitServer, address_of_database: str
) -> Iterator[Site]:
    """Both roles on one database, SQLite and PostgreSQL in turns, with nginx in front of them."""
    database_url = address_of_database
    address = github.url.replace("127.0.0.1", "localhost")
    settings = {"AUTH": "token", "API_TOKENS": TOKEN, "DATABASE_URL": database_url, "GIT_HOSTS": address}
    service = Service(tmp_path_factory.mktemp("data"), github.url, "none", settings, token=TOKEN)
    port = free_port()
    folder = tmp_path_factory.mktemp("nginx")
    try:
        service.start("web", "--role", "webhook")
        service.wait_until_up()
        _, streams = service.start_beside("streams")
        front = nginx(folder, port, documented(service.port, streams))
        try:
            service.wait_until_up(f"http://127.0.0.1:{port}")
            database = Database(database_url)
            yield Site(f"http://127.0.0.1:{port}", service, f"http://127.0.0.1:{streams}", database)
            database.dispose()
        finally:
            front.terminate()
            front.wait(timeout=LIMIT)
    finally:
        service.stop_all()
    said = service.log_path("web").read_text() + service.log_path("streams").read_text()
    assert "Traceback" not in said, said


@pytest.fixture
def pushed(site: Site, repository: BareRepository) -> tuple[str, str, Lease]:
    """A repository, its commit, pushed through nginx, and its build: the test itself stands in for the builder."""
    commit = repository.commit({"requirements.txt": "numpy"})
    payload = push_payload(repository.full_name, commit=commit)
    payload["padding"] = "x" * 2_000_000  # larger than nginx lets a request be by default
    answer = deliver(f"{site.url}/webhook/github", "push", payload, secret=SECRET)
    assert answer.status_code == 202, answer.text
    pushed = answer.json()["build"]
    while True:  # what another test left in the queue may be before it
        with site.database.write() as session:
            build = transitions.claim(session, worker="test", now=datetime.now(UTC))
        assert build is not None
        if build.id == pushed:
            return repository.full_name, commit, Lease(build.id, build.attempt)


def write(site: Site, lease: Lease, number: int, text: str) -> None:
    with site.database.write() as session:
        assert logs.append(session, lease, first_seq=number, texts=[text], now=datetime.now(UTC))


def finish(site: Site, lease: Lease) -> None:
    with site.database.write() as session:
        ended = BuildResult(Status.FAILED, Reason.USER_ERROR, "package_not_found", "No package nunpy.")
        assert transitions.finish(session, lease, ended, now=datetime.now(UTC))


def data(answer: requests.Response) -> Iterator[dict[str, Any]]:
    """Yield what comes, as it comes."""
    for line in answer.iter_lines(chunk_size=1):
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def until(events: Iterator[dict[str, Any]], key: str, wanted: str) -> dict[str, Any]:
    deadline = time.monotonic() + LIMIT
    for event in events:
        if wanted in str(event.get(key)):
            return event
        assert time.monotonic() < deadline, wanted
    raise AssertionError(f"the stream ended without {wanted}")


def test_lines_come_one_by_one_from_the_streams_and_deliveries_go_to_the_webhook(
    site: Site, pushed: tuple[str, str, Lease]
) -> None:
    name, commit, lease = pushed
    of_binder = requests.get(
        f"{site.url}/build/gh/{name}/{commit}?build_only=true", headers=EVENTS, stream=True, timeout=LIMIT
    )
    of_api = requests.get(
        f"{site.url}/api/v1/builds/{lease.build_id}/log", headers=EVENTS, stream=True, timeout=LIMIT
    )
    with of_binder, of_api:
        binder, api = data(of_binder), data(of_api)
        for number in range(1, 4):
            # The next is not written before both have this one: nothing on the way keeps it back.
            write(site, lease, number, f"line {number}\n")
            until(binder, "message", f"line {number}\n")
            until(api, "text", f"line {number}\n")
        assert site.metric(site.streams_url, "repo2hub_open_streams") == 2
        assert site.metric(site.webhook.url, "repo2hub_open_streams") == 0
        finish(site, lease)
        assert until(binder, "phase", "failed")["cause"] == "package_not_found"
        assert until(api, "status", "failed")
    assert site.metric(site.webhook.url, 'repo2hub_deliveries_total{outcome="queued"}') == 1
    page = requests.get(f"{site.url}/api/v1/builds/{lease.build_id}", headers=TOLD, timeout=LIMIT)
    assert page.json()["status"] == "failed"
    for log in ("web", "streams"):
        assert "web.wrong_role" not in site.webhook.log_path(log).read_text()


def test_a_build_that_the_streams_queue_is_known_to_the_webhook(
    site: Site, repository: BareRepository
) -> None:
    commit = repository.commit({"requirements.txt": "scipy"})
    with requests.get(
        f"{site.url}/build/gh/{repository.full_name}/main?build_only=true",
        headers=EVENTS,
        stream=True,
        timeout=LIMIT,
    ) as answer:
        build = until(data(answer), "phase", "waiting")["build_id"]
        known = requests.get(f"{site.url}/api/v1/builds/{build}", headers=TOLD, timeout=LIMIT).json()
        assert (known["commit"], known["status"]) == (commit, "queued")


def test_an_address_with_encoded_slashes_arrives_as_it_was_sent(
    site: Site, github: GitServer, repository: BareRepository
) -> None:
    repository.commit({"requirements.txt": "scipy"})
    address = f"{github.url.replace('127.0.0.1', 'localhost')}/{repository.full_name}"
    with requests.get(
        f"{site.url}/build/git/{quote(address, safe='')}/main?build_only=true",
        headers=EVENTS,
        stream=True,
        timeout=LIMIT,
    ) as answer:
        assert until(data(answer), "phase", "waiting")["build_id"]


def test_what_is_sent_to_the_wrong_process_is_told_where_it_belongs(site: Site) -> None:
    wrong = requests.post(f"{site.streams_url}/webhook/github", json={}, timeout=LIMIT)
    assert wrong.status_code == 421 and "--role webhook" in wrong.json()["error"]["message"]
    asked = requests.get(f"{site.webhook.url}/build/gh/a/b/main", headers=EVENTS, timeout=LIMIT)
    assert asked.status_code == 200 and "--role streams" in asked.text
    for url, role in ((site.streams_url, "streams"), (site.webhook.url, "webhook")):
        assert requests.get(f"{url}/health", timeout=LIMIT).json()["role"] == role
