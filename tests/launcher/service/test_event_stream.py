"""Parsing server-sent events."""

from repo2hub_launcher.service.event_stream import Event, EventParser


def test_events_are_parsed_in_pieces_of_any_size() -> None:
    stream = b'retry: 2000\n\n: hello\n\nid: 1.2\nevent: log\ndata: {"text": "\xc3\xa9\\n"}\n\n'
    stream += b"event: end\r\ndata: {}\r\n\r\n"
    parser = EventParser()
    events = [event for byte in stream for event in parser.feed(bytes([byte]))]
    assert events == [Event("log", {"text": "é\n"}, "1.2"), Event("end", {})]


def test_an_event_without_json_is_skipped() -> None:
    assert list(EventParser().feed(b"data: {\n\ndata: 1\n\ndata: {}\n\n")) == [Event("message", {})]
