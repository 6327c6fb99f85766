"""Reading the JSON lines of repo2docker."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.buildpacks.repo2docker import parse_line


def test_a_json_line_gives_its_message() -> None:
    assert parse_line('{"message": "#5 DONE 0.1s\\n", "phase": "building"}') == "#5 DONE 0.1s"


def test_the_traceback_is_left_out() -> None:
    line = json.dumps({"message": "it broke", "phase": "failed", "exc_info": "Traceback (most ..."})
    assert parse_line(line) == "it broke"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "plain text",
        "{not json",
        "[1, 2]",
        '{"phase": "building"}',
        '{"message": 1}',
        '{"message": null, "phase": []}',
        '{"a":' * 100_000,
        '{"message": ' + "9" * 10_000 + "}",
        '{"message": "cut',
    ],
)
def test_what_is_no_json_line_of_repo2docker_is_text(line: str) -> None:
    assert parse_line(line) == line


@given(st.text() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_no_line_raises(line: str) -> None:
    assert isinstance(parse_line(line), str)
    assert isinstance(parse_line("{" + line), str)
