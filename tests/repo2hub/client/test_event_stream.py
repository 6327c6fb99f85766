"""Parsing server-sent events."""

from hypothesis import given
from hypothesis import strategies as st

from repo2hub.client.service import Event, parse_events


def test_events_are_parsed_by_the_rules_of_the_standard() -> None:
    lines = [
        "retry: 2000",
        "",
        "id: 1.2",
        "event: log",
        'data: {"text":',
        'data: "a"}',
        "",
        ": keep-alive",
        "",
    ]
    lines += ["event:end", "data:{}", "", "event: log", 'data: {"text": "unfinished"}']
    assert list(parse_events(lines)) == [Event("log", "1.2", {"text": "a"}), Event("end", "1.2", {})]


@given(st.lists(st.text()))
def test_any_lines_give_only_complete_events(lines: list[str]) -> None:
    assert all(isinstance(event.data, dict) for event in parse_events(lines))
