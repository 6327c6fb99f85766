"""The server around the application: deadlines, threads, streams, and how it stops."""

import http.client
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack

import pytest
import requests

from db.database import Database
from db.models import Build
from db.queue import transitions
from db.records import refs, repositories
from tests.conftest import COMMIT, NOW
from tests.webhook.serving.conftest import EVENTS, LIMIT, STREAMS, Server, Start
from tests.webhook.slow_git import SlowGit
from webhook.github.receiver import MAX_BODY as MAX_DELIVERY
from webhook.lookup.remote_ref_cache import MAX_WAITING
from webhook.serving.bridge import MAX_BODY, REQUEST_THREADS
from webhook.serving.connections import MAX_HEADER

pytestmark = [pytest.mark.slow, pytest.mark.alone]

SIGNED = f"X-Hub-Signature-256: sha256={'0' * 64}\r\n"


def _read_all(client: socket.socket) -> bytes:
    """Return what the server sends until it closes the connection."""
    received = b""
    while piece := client.recv(65536):
        received += piece
    return received


@pytest.mark.parametrize(
    "begun",
    [
        "",
        "GET /health HTTP/1.1\r\nHost: ",
        f"POST /webhook/github HTTP/1.1\r\nHost: 127.0.0.1\r\n{SIGNED}Content-Length: 9999\r\n\r\n",
        f"POST /webhook/github HTTP/1.1\r\nHost: 127.0.0.1\r\n{SIGNED}Transfer-Encoding: chunked\r\n\r\nfff\r\n",
        "POST /api/v1/builds HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n\r\n",
        "POST /webhook/github HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n\r\n",
    ],
)
def test_a_request_that_does_not_come_to_its_end_is_closed_and_others_go_on(
    server: Server, database: Database, watched_build: Build, begun: str
) -> None:
    log = f"{server.address}/api/v1/builds/{watched_build.id}/log"
    older = requests.get(log, headers=EVENTS, stream=True, timeout=LIMIT)
    with server.connect() as client:
        client.sendall(begun.encode())
        with pytest.raises(OSError):  # it was closed
            for _ in range(600):
                if begun:
                    client.sendall(b"x")
                elif not client.recv(1):
                    raise ConnectionResetError
                time.sleep(LIMIT / 600)
    with database.write() as session:
        transitions.cancel(session, watched_build.id, by=None, now=NOW)
    assert b"event: end" in b"".join(older.iter_content())


def test_where_all_descriptors_are_used_the_oldest_idle_connections_make_room(start: Start) -> None:
    server = start(deadlines=LIMIT, files="400")
    with ExitStack() as stack:
        idle = [stack.enter_context(server.connect()) for _ in range(600)]
        assert server.deliver().json() == {"outcome": "pong"}
        with pytest.raises(ConnectionResetError):
            idle[0].recv(1)
        idle[-1].sendall(b"GET /versions HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert idle[-1].recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_second_request_has_a_deadline_too(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"GET /versions HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        time.sleep(1.5)  # an idle connection is kept
        client.sendall(b"GET /versions HTTP/1.1\r\nHos")
        client.settimeout(LIMIT)
        with pytest.raises(ConnectionResetError):
            assert _read_all(client) == b""
            raise ConnectionResetError


def test_a_header_has_a_maximum_size(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * (MAX_HEADER + 100))
        assert _read_all(client).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    ("path", "limit", "header"),
    [
        ("/api/v1/builds", MAX_BODY, "Content-Type: application/json\r\n"),
        ("/webhook/github", MAX_DELIVERY, SIGNED),
    ],
)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_and_the_answer_arrives(
    server: Server, path: str, limit: int, header: str, is_chunked: bool
) -> None:
    size = limit + 1
    length = (
        f"Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n" if is_chunked else f"Content-Length: {size}\r\n\r\n"
    )
    with server.connect() as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}{length}".encode())
        client.sendall(bytes(size if is_chunked else min(size, 100_000)))
        received = _read_all(client)
    assert received.startswith(b"HTTP/1.1 413 ") and b'"error"' in received


def test_without_a_signature_a_delivery_is_refused_before_its_body_is_sent(server: Server) -> None:
    with server.connect() as client:
        client.sendall(
            b"POST /webhook/github HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n"
        )
        assert client.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_a_delivery_may_wait_for_100_continue(server: Server) -> None:
    request = f"POST /webhook/github HTTP/1.1\r\nHost: 127.0.0.1\r\n{SIGNED}Expect: 100-continue\r\n"
    with server.connect() as client:
        client.sendall(f"{request}Content-Length: 2\r\n\r\n".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"{}")
        assert client.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_a_client_that_reads_nothing_is_closed(
    start: Start, database: Database, watched_build: Build
) -> None:
    server = start(MAX_STREAMS="50")
    with database.write() as session:
        build = transitions.claim(session, worker="w", now=NOW)
    assert build is not None
    _write_log(database, build, 400)
    with ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(server.connect())
            client.sendall(f"GET /api/v1/builds/{build.id}/log HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        deadline = time.monotonic() + LIMIT
        while requests.get(f"{server.address}/health", timeout=LIMIT).json()["checks"][1]["open"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def _write_log(database: Database, build: Build, chunks: int) -> None:
    from db.records import logs
    from db.status import Lease

    with database.write() as session:
        texts = ["x" * 30_000 + "\n"] * chunks
        assert logs.append(session, Lease(build.id, build.attempt), first_seq=1, texts=texts, now=NOW)


def test_clients_that_do_not_close_keep_nobody_waiting(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(server.connect())
            client.sendall(b"GET /versions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert requests.get(f"{server.address}/health", timeout=LIMIT).ok


def test_who_waits_for_github_keeps_no_delivery_waiting(server: Server, git: SlowGit) -> None:
    def look_up(number: int) -> requests.Response:
        return requests.get(f"{server.address}/api/v1/images/gh/org/r{number}/main", timeout=2 * LIMIT)

    with ThreadPoolExecutor(REQUEST_THREADS) as pool:
        lookups = [pool.submit(look_up, number) for number in range(REQUEST_THREADS)]
        try:
            answered = as_completed(lookups, LIMIT)
            refused = [next(answered).result() for _ in range(REQUEST_THREADS - MAX_WAITING)]
            assert server.deliver().json() == {"outcome": "pong"}
        finally:
            git.answer()
        answers = [lookup.result() for lookup in lookups]
    assert all(answer.status_code == 503 and answer.headers["Retry-After"] for answer in refused)
    assert sum(answer.status_code == 404 for answer in answers) == MAX_WAITING


def test_full_streams_keep_nobody_else_waiting_and_end_with_the_server(
    server: Server, watched_build: Build
) -> None:
    address = server.address
    log = f"{address}/api/v1/builds/{watched_build.id}/log"
    open_streams = [requests.get(log, headers=EVENTS, stream=True, timeout=LIMIT) for _ in range(STREAMS)]
    assert [stream.status_code for stream in open_streams] == [200] * STREAMS
    refused = requests.get(log, headers=EVENTS, timeout=LIMIT)
    assert refused.status_code == 503 and refused.headers["Retry-After"]
    assert requests.get(f"{address}/health", timeout=5).json()["checks"][1]["open"] == STREAMS
    server.process.send_signal(signal.SIGTERM)
    for stream in open_streams:  # each ends whole, and is not cut off
        assert b"event: end" not in b"".join(stream.iter_content())


def test_a_viewer_that_disconnects_frees_its_slot_at_once(server: Server, watched_build: Build) -> None:
    log = f"{server.address}/api/v1/builds/{watched_build.id}/log"
    for _ in range(3 * STREAMS):
        with requests.get(log, headers=EVENTS, stream=True, timeout=LIMIT) as stream:
            assert stream.status_code == 200
            next(stream.iter_content(1))
        deadline = time.monotonic() + LIMIT
        while requests.get(f"{server.address}/health", timeout=5).json()["checks"][1]["open"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_head_of_a_log_has_its_headers_and_no_body(server: Server, watched_build: Build) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT)
    for accept in ("text/event-stream", "text/plain"):
        connection.request("HEAD", f"/api/v1/builds/{watched_build.id}/log", headers={"Accept": accept})
        with connection.getresponse() as answer:
            assert answer.status == 200 and answer.headers["Content-Type"].startswith(accept)
            assert answer.read() == b""
    connection.request("GET", "/versions")  # on the same connection
    with connection.getresponse() as answer:
        assert answer.status == 200 and int(answer.headers["Content-Length"]) == len(answer.read())
    connection.close()


def test_encoded_slashes_reach_the_lookup(server: Server, database: Database) -> None:
    with database.write() as session:
        repository = repositories.record(session, full_name="Org/Repo", webhook_active=True, now=NOW)
        refs.record_push(
            session, repository, ref="refs/heads/a/b", commit=COMMIT, before=None, pushed_at=NOW, now=NOW
        )
    for ref in ("a/b", "a%2Fb", "refs%2fheads%2Fa/b"):
        answer = requests.get(f"{server.address}/api/v1/images/gh/org/repo/{ref}", timeout=LIMIT)
        assert (answer.status_code, answer.json()["commit"]) == (404, COMMIT)
