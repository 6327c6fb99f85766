"""The application put together, and the server around it: errors, headers, health, start and stop."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy import text

from base.image_names import REPO2DOCKER_VERSION
from db.database import Database
from db.models import Build
from db.queue import enqueue, transitions
from db.records import refs, repositories
from db.status import Trigger
from tests.conftest import COMMIT, NOW
from tests.webhook.slow_git import SlowGit
from webhook.app import MAX_BODY, create_app
from webhook.binderhub.events import RETRY_BROKEN
from webhook.github.signature import HEADER, NoSecret, sign
from webhook.lookup.remote_ref_cache import MAX_WAITING
from webhook.serve import LINGER, THREADS_BESIDE_STREAMS, limit_sends
from webhook.settings import WebSettings

pytestmark = pytest.mark.slow

LIMIT = 30.0
"""Seconds after which a test gives up waiting."""
STREAMS = 3
"""How many logs may be followed at once."""


@pytest.fixture
def app(settings: WebSettings, database: Database) -> Flask:
    return create_app(settings, database)


@pytest.fixture
def behind_a_path(settings: WebSettings, database: Database) -> FlaskClient:
    """A client of a service whose paths all begin with /services/binder/."""
    changed = settings.model_copy(update={"base_url": "/services/binder/"})
    return create_app(changed, database).test_client()


@pytest.fixture
def unreachable(settings: WebSettings) -> FlaskClient:
    """A client of a service whose database is no database."""
    return create_app(settings, Database("sqlite:////")).test_client()


def test_everything_is_under_the_base_path(behind_a_path: FlaskClient) -> None:
    base = "/services/binder"
    for path in ("/", "/health", "/versions", "/api/v1/builds"):
        assert behind_a_path.get(f"{base}{path}").status_code == 200
        assert behind_a_path.get(path).status_code == 404
    assert behind_a_path.post(f"{base}/webhook/github").status_code == 401
    asked = behind_a_path.post(f"{base}/api/v1/builds", json={"repository": "org/repo", "ref": COMMIT})
    link = asked.headers["Location"]
    assert link.startswith(f"{base}/api/v1/builds/")
    assert behind_a_path.get(link).status_code == 200


def test_versions_are_told_as_binderhub_tells_them(client: FlaskClient) -> None:
    told = client.get("/versions").json
    assert told is not None and told["repo2hub"]
    assert told["builder_info"] == {"repo2docker-version": REPO2DOCKER_VERSION}


def test_health_is_good_while_the_database_answers(client: FlaskClient, database: Database) -> None:
    good = client.get("/health")
    assert good.status_code == 200 and good.json is not None and good.json["ok"]
    assert good.json["checks"][0] == {"service": "database", "kind": "sqlite", "ok": True}
    with database.write() as session:
        session.execute(text("DROP TABLE log_chunk"))
        session.execute(text("ALTER TABLE build RENAME TO was_build"))
    bad = client.get("/health")
    assert bad.status_code == 503 and bad.json is not None and not bad.json["ok"]


def test_a_database_that_does_not_answer_is_a_503_without_its_message(
    client: FlaskClient, database: Database
) -> None:
    with database.write() as session:
        session.execute(text("DROP TABLE log_chunk"))
        session.execute(text("ALTER TABLE build RENAME TO was_build"))
    response = client.get("/api/v1/builds")
    assert response.status_code == 503 and response.headers["Retry-After"]
    assert response.json is not None and response.json["error"]["code"] == "database_unavailable"
    assert "was_build" not in response.text and "SELECT" not in response.text


@pytest.mark.parametrize(
    "path", ["/api/v1/builds", "/api/v1/images/gh/org/repo/main", "/badge/gh/org/repo/main.svg"]
)
def test_a_database_that_cannot_be_reached_is_a_503_to_whatever_is_asked(
    unreachable: FlaskClient, path: str
) -> None:
    response = unreachable.get(path)
    assert response.status_code == 503 and response.headers["Retry-After"]
    assert response.json is not None and response.json["error"]["code"] == "database_unavailable"


def test_whoever_follows_a_build_comes_back_to_a_database_that_could_not_be_reached(
    unreachable: FlaskClient,
) -> None:
    told = unreachable.get("/build/gh/org/repo/main?build_only=true").text
    assert told.startswith(f"retry: {RETRY_BROKEN}\n\n") and '"status_code": 503' in told


def test_a_fault_of_ours_is_a_500_without_its_message(app: Flask) -> None:
    @app.get("/fault")
    def fault() -> str:
        raise RuntimeError("secret of the house")

    response = app.test_client().get("/fault")
    assert response.status_code == 500
    assert response.json is not None and response.json["error"]["code"] == "internal_error"
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "not_found"),
        ("GET", "/api/v1/nope", 404, "not_found"),
        ("GET", "/api/v1/images/gl/org/repo/main", 404, "not_found"),
        ("DELETE", "/api/v1/builds", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("GET", "/webhook/github", 405, "method_not_allowed"),
    ],
)
def test_every_error_is_json(client: FlaskClient, method: str, path: str, status: int, code: str) -> None:
    response = client.open(path, method=method)
    assert response.status_code == status
    assert response.json is not None and response.json["error"]["code"] == code
    assert (status != 405) or response.headers["Allow"]


def test_a_request_that_is_too_large_is_refused(client: FlaskClient) -> None:
    body = b'{"repository": "' + b"x" * MAX_BODY + b'"}'
    response = client.post("/api/v1/builds", data=body, content_type="application/json")
    assert response.status_code == 413 and response.json is not None and response.json["error"]["code"]


def test_a_delivery_may_be_larger_than_a_request_to_the_api(client: FlaskClient) -> None:
    signed = {HEADER: sign(b"", b"another secret")}
    response = client.post("/webhook/github", data=b"x" * (2 * MAX_BODY), headers=signed)
    assert response.status_code == 401  # it was read whole, and then not believed


@pytest.mark.parametrize("path", ["/", "/health", "/api/v1/builds", "/nope"])
def test_no_answer_can_do_anything_in_a_browser(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_without_a_webhook_secret_it_does_not_start(settings: WebSettings, database: Database) -> None:
    with pytest.raises(NoSecret, match="REPO2HUB_WEBHOOK_SECRETS"):
        create_app(settings.model_copy(update={"webhook_secrets": ()}), database)
    with pytest.raises(NoSecret):
        create_app(settings.model_copy(update={"webhook_secrets": (SecretStr(" "),)}), database)


# The server

PROGRAM = """
from webhook import serve
from webhook.lookup import ls_remote
from webhook.settings import WebSettings
serve.READ_LIMIT = 1
ls_remote.TIME_LIMIT = 60
serve.run(WebSettings.load())
print("the caller goes on")
"""


TELLS_SOCKETS = """
from types import SimpleNamespace
from flask import Flask, request
from webhook.app import STREAMS
from webhook.streaming.connection import Connection
from webhook.serve import Server
from webhook.settings import WebSettings
app = Flask("tests")
app.extensions[STREAMS] = SimpleNamespace(close=lambda: None)
app.get("/health")(lambda: str(Connection.of(request.environ) is not None))
Server(app, WebSettings.load()).run()
"""


@dataclass
class Server:
    address: str
    process: "subprocess.Popen[str]"


@pytest.fixture
def git(tmp_path: Path) -> SlowGit:
    """What the server runs as git."""
    folder = tmp_path / "git"
    folder.mkdir()
    return SlowGit(folder)


@pytest.fixture
def server(settings: WebSettings, database_url: str, tmp_path: Path, git: SlowGit) -> Iterator[Server]:
    """A real server in a process of its own; afterwards it must have ended well on SIGTERM."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {
        "PATH": git.path,
        "REPO2HUB_DATABASE_URL": database_url,
        "REPO2HUB_DATA_DIR": str(tmp_path),
        "REPO2HUB_WEBHOOK_SECRETS": "secret",
        "REPO2HUB_PORT": str(port),
        "REPO2HUB_MAX_STREAMS": str(STREAMS),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process)
        yield Server(address, process)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, output
    assert output.count("the caller goes on") == 1, output
    assert "Traceback" not in output, output


def _wait_for(address: str, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + LIMIT
    while True:
        assert process.poll() is None and time.monotonic() < deadline
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.1)


def _build(database: Database) -> Build:
    with database.write() as session:
        repository = repositories.record(session, full_name="Org/Repo", now=NOW)
        refs.record_push(
            session, repository, ref="refs/heads/main", commit=COMMIT, before=None, pushed_at=NOW, now=NOW
        )
        asked = enqueue.enqueue(
            session,
            repository=repository,
            ref="refs/heads/main",
            commit=COMMIT,
            recipe="r",
            trigger=Trigger.PUSH,
            now=NOW,
        )
    assert asked.build is not None
    return asked.build


def test_the_server_tells_the_socket_that_a_log_may_be_sent_to(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {"REPO2HUB_DATA_DIR": str(tmp_path), "REPO2HUB_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-c", TELLS_SOCKETS], env=os.environ | variables, text=True)
    try:
        _wait_for(f"http://127.0.0.1:{port}", process)
        assert requests.get(f"http://127.0.0.1:{port}/health", timeout=LIMIT).text == "True"
    finally:
        process.terminate()
        process.wait(timeout=LIMIT)


def test_a_client_that_reads_nothing_does_not_hold_its_thread() -> None:
    with socket.socket() as listener:
        limit_sends([listener], 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            accepted.setblocking(True)  # as gunicorn's threads have it
            with pytest.raises(BlockingIOError):
                while True:
                    accepted.sendall(bytes(2**20))


@pytest.mark.parametrize(
    "begun",
    [
        "GET /health HTTP/1.1\r\nHost: ",
        f"POST /webhook/github HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256={'0' * 64}\r\n"
        "Content-Length: 9999\r\n\r\n",
    ],
)
def test_a_request_that_does_not_come_to_its_end_does_not_hold_its_thread(
    server: Server, database: Database, begun: str
) -> None:
    build = _build(database)
    log = f"{server.address}/api/v1/builds/{build.id}/log"
    older = requests.get(log, headers={"Accept": "text/event-stream"}, stream=True, timeout=LIMIT)
    with socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2]))) as client:
        client.sendall(begun.encode())
        with pytest.raises(OSError):  # it was closed
            for _ in range(600):
                client.sendall(b"x")
                time.sleep(LIMIT / 600)
    with database.write() as session:
        transitions.cancel(session, build.id, by=None, now=NOW)
    assert b"event: end" in b"".join(older.iter_content())  # whose request had ended


def test_clients_that_do_not_take_leave_keep_nobody_waiting(server: Server) -> None:
    address = "127.0.0.1", int(server.address.rpartition(":")[2])
    with ExitStack() as stack:
        for _ in range(int(2 * LIMIT / LINGER)):
            client = stack.enter_context(socket.create_connection(address, timeout=LIMIT))
            client.sendall(b"GET /versions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert requests.get(f"{server.address}/health", timeout=LIMIT).ok


def test_who_waits_for_github_keeps_no_delivery_waiting(server: Server, git: SlowGit) -> None:
    threads = STREAMS + THREADS_BESIDE_STREAMS

    def look_up(number: int) -> requests.Response:
        return requests.get(f"{server.address}/api/v1/images/gh/org/r{number}/main", timeout=2 * LIMIT)

    with ThreadPoolExecutor(threads) as pool:
        lookups = [pool.submit(look_up, number) for number in range(threads)]
        try:
            refused = [
                next(answered).result() for answered in [as_completed(lookups, LIMIT)] for _ in range(3)
            ]
            body = b'{"zen": "", "hook_id": 1, "hook": {"events": ["push"]}}'
            headers = {"X-GitHub-Event": "ping", "X-GitHub-Delivery": "0" * 36, HEADER: sign(body, b"secret")}
            headers["Content-Type"] = "application/json"
            url = f"{server.address}/webhook/github"
            assert requests.post(url, body, headers=headers, timeout=LIMIT).json() == {"outcome": "pong"}
        finally:
            git.answer()
        answers = [lookup.result() for lookup in lookups]
    assert all(answer.status_code == 503 and answer.headers["Retry-After"] for answer in refused)
    assert sum(answer.status_code == 404 for answer in answers) == MAX_WAITING


def test_full_streams_keep_nobody_else_waiting_and_end_with_the_server(
    server: Server, database: Database
) -> None:
    address = server.address
    log = f"{address}/api/v1/builds/{_build(database).id}/log"
    events = {"Accept": "text/event-stream"}
    open_streams = [requests.get(log, headers=events, stream=True, timeout=LIMIT) for _ in range(STREAMS)]
    assert [stream.status_code for stream in open_streams] == [200] * STREAMS
    refused = requests.get(log, headers=events, timeout=LIMIT)
    assert refused.status_code == 503 and refused.headers["Retry-After"]
    assert requests.get(f"{address}/health", timeout=5).json()["checks"][1]["open"] == STREAMS
    server.process.send_signal(signal.SIGTERM)
    for stream in open_streams:  # each ends whole, and is not cut off
        assert b"event: end" not in b"".join(stream.iter_content())


def test_encoded_slashes_reach_the_lookup(server: Server, database: Database) -> None:
    with database.write() as session:
        repository = repositories.record(session, full_name="Org/Repo", webhook_active=True, now=NOW)
        refs.record_push(
            session, repository, ref="refs/heads/a/b", commit=COMMIT, before=None, pushed_at=NOW, now=NOW
        )
    for ref in ("a/b", "a%2Fb", "refs%2fheads%2Fa/b"):
        answer = requests.get(f"{server.address}/api/v1/images/gh/org/repo/{ref}", timeout=LIMIT)
        assert (answer.status_code, answer.json()["commit"]) == (404, COMMIT)
