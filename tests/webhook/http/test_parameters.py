"""Validation of what clients put into paths and queries."""

import pytest

from db.columns import MAX_ID
from db.status import Trigger
from webhook.http.errors import HttpError
from webhook.http.parameters import parse_build_id, parse_enum, parse_number, request_target, with_query


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("007", 7), (str(MAX_ID), MAX_ID)])
def test_a_number_is_digits_up_to_the_maximum(text: str, number: int) -> None:
    assert parse_number(text, "before") == number


@pytest.mark.parametrize("text", ["", "0", "-1", "1.0", " 1", "x", "٣", str(MAX_ID + 1), "9" * 5000])
def test_other_numbers_are_rejected_by_name(text: str) -> None:
    with pytest.raises(HttpError, match=f"before must be a whole number from 1 to {MAX_ID}") as rejected:
        parse_number(text, "before")
    assert (rejected.value.status, rejected.value.code) == (422, "bad_before")
    with pytest.raises(HttpError, match="Build not found") as unknown:
        parse_build_id(text)
    assert (unknown.value.status, unknown.value.code) == (404, "unknown_build")


def test_a_word_is_a_member_of_its_enum() -> None:
    assert parse_enum("push", "trigger", Trigger) is Trigger.PUSH
    with pytest.raises(HttpError, match="trigger must be one of: push, launch, manual") as rejected:
        parse_enum("PUSH", "trigger", Trigger)
    assert (rejected.value.status, rejected.value.code) == (422, "bad_trigger")


def test_a_query_keeps_its_parameters_and_replaces_some() -> None:
    assert with_query("/builds", {"ref": "a&b", "before": "9"}, before=7) == "/builds?ref=a%26b&before=7"


@pytest.mark.parametrize(
    ("environ", "target"),
    [
        ({"REQUEST_URI": "/a%2Fb?c"}, "/a%2Fb?c"),
        ({"RAW_URI": "/a%2Fb?c"}, "/a%2Fb?c"),
        ({"PATH_INFO": "/a/b"}, ""),
    ],
)
def test_the_target_of_a_request_is_as_it_was_sent(environ: dict[str, str], target: str) -> None:
    assert request_target(environ) == target
