"""Parsing server-sent events."""

from itertools import pairwise

from hypothesis import example, given
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


LINES = (
    "event: log",
    "event:end",
    "id: 1.2",
    'data: {"text": "a"}',
    "data: {}",
    "data: [1]",
    "data: {",
    ": x",
    "",
)


@given(st.lists(st.sampled_from(LINES) | st.text()))
@example(["event: log", "data: {", ""])
def test_any_lines_give_only_complete_events(lines: list[str]) -> None:
    events = list(parse_events(lines))
    assert all(isinstance(event.data, dict) for event in events)
    ends = [before for before, line in pairwise(lines) if line == "" and before.startswith("data")]
    assert len(ends) <= len(events) <= lines.count("")
