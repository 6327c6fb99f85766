"""Following logs: what a viewer gets, in which order, and that viewers cost only what they may."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from db.database import Database
from db.log_store import START, Position
from db.models import Build
from db.queue import transitions
from db.queue.transitions import BuildResult
from db.records import logs
from db.records.logs import DatabaseLogStore
from db.status import Lease, Phase, Reason, Status
from repo2hub.client.service import Event
from tests.conftest import NOW
from tests.webhook.streaming.conftest import (
    LIMIT,
    Finish,
    WatchStream,
    Write,
    log_texts,
    read_events,
    wait_until,
)
from webhook.access.concurrency_limit import ConcurrencyLimit, LimitReached
from webhook.access.permissions import LOCAL_USER
from webhook.builds.build_json import BuildDescriber
from webhook.streaming.events import API, BuildSnapshot, LogChunk, StreamItem, frame
from webhook.streaming.log_streams import LogStream, LogStreams
from webhook.streaming.response import iterate
from webhook.streaming.viewer import BACKLOG, PIECE, Viewer


@pytest.fixture
def streams(database: Database) -> Iterator[LogStreams]:
    streams = _streams(database)
    yield streams
    streams.close()


def _streams(database: Database, *, limit: int = 50, keep_alive: float = LIMIT) -> LogStreams:
    describe = BuildDescriber("/").build
    places = ConcurrencyLimit(limit, 0, "open logs")
    log_store = DatabaseLogStore(database)
    return LogStreams(
        database, log_store, describe, lambda: datetime.now(UTC), places, poll=0.01, keep_alive=keep_alive
    )


def _open(streams: LogStreams, build: Build, after: Position | None = None) -> LogStream:
    stream = streams.open(build.id, after, LOCAL_USER)
    assert stream is not None
    return stream


def _events(stream: LogStream) -> list[Event]:
    """Return the events of a stream that ends by itself."""
    return read_events(iterate(stream.body))


def test_a_viewer_gets_what_was_there_then_what_comes_then_the_end(
    watch: WatchStream, streams: LogStreams, running_build: Build, write: Write, finish: Finish
) -> None:
    write("one\n", "two\n")
    watched = watch(_open(streams, running_build))
    watched.until("two\n")
    write("three\n")
    finish()
    events = watched.ended()
    assert log_texts(events) == ["one\n", "two\n", "three\n"]
    assert [event.last_event_id for event in events if event.name == "log"] == ["1.1", "1.2", "1.3"]
    assert [event.name for event in events][-2:] == ["status", "end"]
    assert events[-2].data["status"] == "succeeded"


def test_a_viewer_resumes_after_any_position(
    watch: WatchStream, streams: LogStreams, running_build: Build, write: Write, finish: Finish
) -> None:
    write(*"abcd")
    watched = watch(_open(streams, running_build, Position(1, 2)))
    watched.until("d")
    write("e")
    finish()
    assert log_texts(watched.ended()) == ["c", "d", "e"]


def test_a_finished_build_is_told_at_once(
    streams: LogStreams, running_build: Build, write: Write, finish: Finish
) -> None:
    write(*(str(number) for number in range(250)))
    finish()
    events = _events(_open(streams, running_build))
    assert log_texts(events) == [str(number) for number in range(250)]
    assert [event.name for event in events][250:] == ["status", "end"]
    assert not _readers(streams)


HOSTILE = [
    "x\n\nevent: end\ndata: {}\n\n",
    "\r\rid: 9.9\revent: status\r\n",
    "data: x\u2028\u2029\x85\x0b\x0c",
    ": comment\n\n\x00\x1b]0;title\x07",
    '"}\n\n</script><script>',
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_log_can_end_an_event_or_begin_another(text: str) -> None:
    sent = frame("log", {"text": text}, Position(1, 7))
    assert sent.isascii() and sent.count(b"\n") == 4 and b"\r" not in sent
    assert read_events(sent) == [Event("log", "1.7", {"text": text})]


def test_each_change_of_the_build_is_told(
    watch: WatchStream, streams: LogStreams, database: Database, queued_build: Build
) -> None:
    watched = watch(_open(streams, queued_build))
    watched.until("queued")
    with database.write() as session:
        build = transitions.claim(session, worker="w", now=NOW)
    assert build is not None
    watched.until("running")
    with database.write() as session:
        transitions.enter_phase(session, Lease(build.id, 1), Phase.BUILDING, now=NOW)
    watched.until("building")
    failed = BuildResult(Status.FAILED, Reason.USER_ERROR, "package_not_found", "No package nunpy.")
    with database.write() as session:
        transitions.finish(session, Lease(build.id, 1), failed, now=NOW)
    told = [(event.data.get("status"), event.data.get("phase")) for event in watched.ended()]
    assert told == [
        ("queued", None),
        ("running", None),
        ("running", "building"),
        ("failed", "building"),
        (None, None),
    ]


def test_a_new_attempt_is_announced_before_its_log(
    watch: WatchStream,
    streams: LogStreams,
    database: Database,
    running_build: Build,
    write: Write,
) -> None:
    write("first try\n")
    watched = watch(_open(streams, running_build))
    watched.until("first try\n")
    with database.write() as session:
        transitions.release(session, Lease(running_build.id, 1), now=NOW)
        transitions.claim(session, worker="other", now=NOW)
        second = Lease(running_build.id, 2)
        logs.append(session, second, first_seq=1, texts=["second try\n"], now=NOW)
    watched.until("second try\n")
    with database.write() as session:
        transitions.finish(session, second, BuildResult(Status.SUCCEEDED), now=NOW)
    names = [(event.name, event.data.get("attempt")) for event in watched.ended() if event.name != "status"]
    assert names == [("log", None), ("attempt", 2), ("log", None), ("end", None)]


def test_a_late_viewer_gets_the_newest_attempt_unless_it_asks_for_all(
    streams: LogStreams, database: Database, lease: Lease, running_build: Build, write: Write
) -> None:
    write("first\n")
    with database.write() as session:
        transitions.release(session, lease, now=NOW)
        transitions.claim(session, worker="other", now=NOW)
        second = Lease(lease.build_id, 2)
        logs.append(session, second, first_seq=1, texts=["second\n"], now=NOW)
        transitions.finish(session, second, BuildResult(Status.SUCCEEDED), now=NOW)
    assert log_texts(_events(_open(streams, running_build))) == ["second\n"]
    everything = _events(_open(streams, running_build, START))
    assert log_texts(everything) == ["first\n", "second\n"]
    assert [event.name for event in everything][:3] == ["log", "attempt", "log"]


def _readers(streams: LogStreams) -> list[object]:
    return list(streams._readers.values())


def test_many_viewers_share_one_reader_and_all_get_every_line(
    watch: WatchStream, streams: LogStreams, running_build: Build, write: Write, finish: Finish
) -> None:
    watches = [watch(_open(streams, running_build)) for _ in range(20)]
    for watched in watches:
        watched.until("running")
    write(*(f"{number}\n" for number in range(100)))
    assert len(_readers(streams)) == 1
    finish()
    for watched in watches:
        assert log_texts(watched.ended()) == [f"{number}\n" for number in range(100)]
    assert streams.open_count == 0


def test_a_reader_ends_when_nobody_watches_any_more(
    watch: WatchStream, streams: LogStreams, running_build: Build
) -> None:
    watched = watch(_open(streams, running_build))
    watched.until("running")
    assert _readers(streams)
    watched.leave()
    wait_until(lambda: not _readers(streams))
    assert streams.open_count == 0
    again = watch(_open(streams, running_build))
    again.until("running")
    assert len(_readers(streams)) == 1


def test_a_viewer_too_slow_for_its_buffer_loses_nothing_and_nobody_waits_for_it(
    watch: WatchStream, streams: LogStreams, running_build: Build, write: Write, finish: Finish
) -> None:
    slow, quick = watch(_open(streams, running_build)), watch(_open(streams, running_build))
    for watched in (slow, quick):
        watched.until("running")
    slow.pause()
    write("the last that it takes\n")
    slow.until("the last that it takes\n")
    expected = [f"{number}\n" for number in range(3 * BACKLOG)]
    for start in range(0, len(expected), 250):
        write(*expected[start : start + 250])
    finish()
    assert log_texts(quick.ended())[1:] == expected
    assert log_texts(read_events(slow.sent)) == ["the last that it takes\n"]
    slow.resume()
    received = slow.ended()
    assert log_texts(received)[1:] == expected
    assert [event.name for event in received][-2:] == ["status", "end"]
    assert streams.open_count == 0


async def _nothing(_position: Position) -> list[StreamItem]:
    return []


def test_a_slow_viewers_buffer_stays_small() -> None:
    viewer = Viewer(START, API, _nothing)
    for seq in range(1, 10 * BACKLOG):
        viewer.offer([StreamItem(LogChunk(Position(1, seq), "x", None))])
        viewer.offer([StreamItem(BuildSnapshot({}, False, START))])
        assert len(viewer._items) <= BACKLOG


def test_a_long_log_is_sent_in_pieces(
    streams: LogStreams, running_build: Build, write: Write, finish: Finish
) -> None:
    expected = [f"{number}" + "x" * 30_000 for number in range(20)]
    write(*expected)
    finish()
    pieces = list(iterate(_open(streams, running_build).body))
    assert max(map(len, pieces)) < 2 * PIECE
    assert log_texts(read_events(b"".join(pieces))) == expected
    texts = list(iterate(streams.open_text(running_build.id, 1, LOCAL_USER).body))
    assert max(map(len, texts)) < 2 * PIECE
    assert b"".join(texts).decode() == "".join(expected)


def test_silence_is_broken_by_comments(database: Database, running_build: Build) -> None:
    streams = _streams(database, keep_alive=0.01)
    events = iterate(_open(streams, running_build).body)
    assert [next(events) for _ in range(4)][2:] == [b": keep-alive\n\n"] * 2
    streams.close()


def test_silence_is_counted_from_what_was_sent(
    watch: WatchStream, database: Database, running_build: Build, write: Write
) -> None:
    streams = _streams(database, keep_alive=LIMIT)
    watched = watch(_open(streams, running_build))
    for number in range(20):
        write(f"{number}\n")
        watched.until(f"{number}\n")
    assert b"keep-alive" not in watched.sent
    streams.close()


def test_the_viewer_above_the_cap_is_refused_until_another_leaves(
    database: Database, running_build: Build
) -> None:
    streams = _streams(database, limit=2)
    first, second = _open(streams, running_build), _open(streams, running_build)
    with pytest.raises(LimitReached):
        streams.open(running_build.id, None, LOCAL_USER)
    first.close()
    first.close()  # twice frees one place, not two
    third = _open(streams, running_build)
    with pytest.raises(LimitReached):
        streams.open(running_build.id, None, LOCAL_USER)
    second.close()
    third.close()
    assert streams.open_count == 0


def test_a_viewer_that_goes_away_in_the_middle_frees_its_place(
    streams: LogStreams, running_build: Build
) -> None:
    events = iterate(_open(streams, running_build).body)
    next(events)
    assert streams.open_count == 1
    events.close()  # type: ignore[attr-defined]  # it is a generator
    assert streams.open_count == 0


def test_no_stream_begins_after_the_server_stops(streams: LogStreams, running_build: Build) -> None:
    streams.close()
    assert [event.name for event in _events(_open(streams, running_build))] == ["status"]


def test_streams_end_without_an_end_when_the_server_stops(
    watch: WatchStream, streams: LogStreams, running_build: Build, write: Write
) -> None:
    write("so far\n")
    watched = watch(_open(streams, running_build))
    watched.until("so far\n")
    streams.close()
    assert [event.name for event in watched.ended()] == ["status", "log"]


def test_a_database_that_is_away_for_a_while_does_not_end_a_stream(
    watch: WatchStream,
    streams: LogStreams,
    running_build: Build,
    write: Write,
    finish: Finish,
) -> None:
    from sqlalchemy.exc import OperationalError

    watched = watch(_open(streams, running_build))
    watched.until("running")
    read_snapshot, failures = streams.read_snapshot, iter([1, 2])

    def broken(build_id: int) -> object:
        if next(failures, None):
            raise OperationalError("SELECT", {}, Exception("gone"))
        return read_snapshot(build_id)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(streams, "read_snapshot", broken)
        write("after\n")
        finish()
        assert log_texts(watched.ended()) == ["after\n"]
