"""Sending to a viewer whose thread waits: the same bytes in the same order as by its thread, and no wait."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from db.database import Database
from db.models import Build
from db.records import logs
from db.records.logs import Position
from repo2hub.client.service import parse_events
from tests.webhook.streaming.conftest import LIMIT, Finish, Write, wait_until
from webhook.access.concurrency_limit import ConcurrencyLimit
from webhook.access.permissions import LOCAL_USER
from webhook.binderhub.events import BinderHubFormat
from webhook.builds.build_json import BuildDescriber
from webhook.streaming.connection import Connection, ViewerGone
from webhook.streaming.events import LogChunk, StreamItem
from webhook.streaming.log_streams import LogStreams
from webhook.streaming.viewer import BACKLOG, Viewer


@dataclass
class Served:
    """A viewer's stream on a real connection, written by a thread as gunicorn does it."""

    streams: LogStreams
    build: Build
    chunked: bool = True
    yielded: int = 0
    error: BaseException | None = None
    received: bytes = b""
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._server, self.client = socket.socketpair()
        self.client.settimeout(LIMIT)
        # As small as the system lets them be: what a browser on a slow line takes at once.
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        connection = Connection(self._server, chunked=self.chunked)
        viewer = self.streams.open(self.build.id, None, LOCAL_USER, connection=connection)
        assert viewer is not None
        self.viewer = viewer
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for piece in self.viewer.events():
                self.yielded += 1
                self._server.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if self.chunked else piece)
            self._server.sendall(b"0\r\n\r\n" if self.chunked else b"")
        except OSError as exc:
            self.error = exc
        finally:
            self._server.close()

    def until(self, text: str) -> None:
        """Read until the body holds a text."""
        while text.encode() not in self.received:
            piece = self.client.recv(65536)
            assert piece, self.received
            self.received += piece

    def texts(self) -> list[str]:
        """Read to the end, and return the log as it came."""
        while piece := self.client.recv(65536):
            self.received += piece
        body = _unchunked(self.received) if self.chunked else self.received
        events = parse_events(body.decode().split("\n"))
        return [str(event.data["text"]) for event in events if event.name == "log"]

    def join(self) -> None:
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()


def _unchunked(data: bytes) -> bytes:
    """Undo RFC 9112's framing, to the last chunk; a ValueError where it is broken."""
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            assert data == b"\r\n"
            return body
        assert data[length : length + 2] == b"\r\n"
        body, data = body + data[:length], data[length + 2 :]


@pytest.fixture
def streams(database: Database) -> Iterator[LogStreams]:
    places, describe = ConcurrencyLimit(50, 0, "open logs"), BuildDescriber("/").build
    streams = LogStreams(database, describe, lambda: datetime.now(UTC), places, poll=0.01, keep_alive=LIMIT)
    yield streams
    streams.close()


Serve = Callable[..., Served]


@pytest.fixture
def serve(streams: LogStreams, running_build: Build) -> Iterator[Serve]:
    """Open a viewer's stream whose thread waits."""
    opened: list[Served] = []

    def start(*, chunked: bool = True) -> Served:
        served = Served(streams, running_build, chunked)
        opened.append(served)
        served.until("running")
        wait_until(lambda: served.viewer._waits)
        return served

    yield start
    for served in opened:
        served.client.close()


@pytest.mark.parametrize("chunked", [True, False])
def test_a_thread_that_waits_sleeps_on_while_lines_are_sent(
    serve: Serve, write: Write, finish: Finish, chunked: bool
) -> None:
    served = serve(chunked=chunked)
    before = served.yielded
    for number in range(20):
        write(f"line {number}\n")
        served.until(f"line {number}\\n")
    assert served.yielded == before
    finish()
    assert served.texts() == [f"line {number}\n" for number in range(20)]
    served.join()


def test_a_connection_that_takes_nothing_for_a_while_gets_every_line_once(
    streams: LogStreams, serve: Serve, write: Write, finish: Finish
) -> None:
    served = serve()
    expected = [f"{number} " + "x" * 200 for number in range(3 * BACKLOG)]
    for start in range(0, len(expected), 50):
        write(*expected[start : start + 50])
        if start == 500:  # it catches up, and falls behind again
            served.until(f"{start} x")
    finish()
    assert served.texts() == expected
    served.join()
    assert streams.open_count == 0


def test_other_viewers_do_not_wait_for_one_that_takes_nothing(
    serve: Serve, write: Write, finish: Finish
) -> None:
    slow, quick = serve(), serve()
    for number in range(100):
        write(f"{number} " + "x" * 2000)
        quick.until(f'"{number} x')  # while nobody reads from the slow one
    finish()
    assert slow.texts() == quick.texts()


def test_a_viewer_that_is_gone_frees_its_place_at_the_next_lines(
    streams: LogStreams, serve: Serve, write: Write
) -> None:
    served = serve()
    served.client.close()
    write("nobody reads this\n")
    served.join()
    assert isinstance(served.error, ViewerGone)
    assert streams.open_count == 0


def test_nothing_is_sent_before_the_headers_are() -> None:
    server, client = socket.socketpair()
    with server, client:
        connection, form = Connection(server, chunked=False), BinderHubFormat()  # which begins with no bytes
        viewer = Viewer(logs.START, lambda _: [], lambda _: None, LIMIT, form, connection)
        told: list[bytes] = []
        thread = threading.Thread(target=lambda: told.extend(viewer.events()), daemon=True)
        thread.start()
        wait_until(lambda: bool(getattr(viewer._changed, "_waiters")))  # noqa: B009 -- it is not ours to look at
        viewer.offer([StreamItem(LogChunk(Position(1, 1), "by the thread", None))])
        wait_until(lambda: viewer._waits)
        viewer.offer([StreamItem(LogChunk(Position(1, 2), "in its place", None))])
        viewer.offer([], "ended")
        thread.join(LIMIT)
        assert b"by the thread" in told[0]
        assert b"in its place" in client.recv(1000)


def test_silence_is_counted_from_what_was_sent_in_place_of_the_thread() -> None:
    server, client = socket.socketpair()
    with server, client:
        connection = Connection(server, chunked=False)
        viewer = Viewer(logs.START, lambda _: [], lambda _: None, keep_alive=0.5, connection=connection)
        told: list[bytes] = []

        def run() -> None:
            told.extend(viewer.events())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        for seq in range(1, 101):
            wait_until(lambda: viewer._waits)
            viewer.offer([StreamItem(LogChunk(Position(1, seq), "x", None))])
            time.sleep(0.01)
        assert told == [b"retry: 2000\n\n"]  # a second has passed, and it was never silent
        viewer.offer([], "ended")
        thread.join(LIMIT)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"SERVER_PROTOCOL": "HTTP/1.1"},
        {"SERVER_PROTOCOL": "HTTP/1.1", "gunicorn.socket": object()},
    ],
)
def test_a_server_that_does_not_tell_its_socket_sends_everything_itself(environ: dict[str, Any]) -> None:
    assert Connection.of(environ) is None


def test_http2_frames_are_not_ours() -> None:
    with socket.socket() as sock:
        assert Connection.of({"gunicorn.socket": sock, "SERVER_PROTOCOL": "HTTP/2"}) is None
        assert Connection.of({"gunicorn.socket": sock, "SERVER_PROTOCOL": "HTTP/1.0"}) is not None
