"""Log lines, hostile ones above all: read, masked, cut into chunks."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.logs.output import Chunker, LogLine, Masker, parse_line

SECRET = "s3cr3t/with+odd&chars"
MIB = 2**20


# Lines


def test_a_json_line_gives_its_message_and_phase() -> None:
    assert parse_line('{"message": "#5 DONE 0.1s\\n", "phase": "building"}') == LogLine(
        "#5 DONE 0.1s", "building"
    )


def test_the_traceback_is_left_out() -> None:
    line = json.dumps({"message": "it broke", "phase": "failed", "exc_info": "Traceback (most ..."})
    assert parse_line(line) == LogLine("it broke", "failed")


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
    assert parse_line(line) == LogLine(line, None)


@pytest.mark.parametrize("phase", ["succeeded", 7, None, ["building"], {}])
def test_an_unknown_phase_is_none(phase: object) -> None:
    assert parse_line(json.dumps({"message": "x", "phase": phase})) == LogLine("x", None)


@given(st.text() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_no_line_raises(line: str) -> None:
    assert isinstance(parse_line(line), LogLine)
    assert isinstance(parse_line("{" + line), LogLine)


# Masking


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"x-access-token:" + SECRET.encode()).decode(),
        base64.urlsafe_b64encode(b"me:" + SECRET.encode()).decode(),
        json.dumps({"token": SECRET}),
        SECRET[:5] + "\x00" + SECRET[5:],
    ],
)
def test_a_secret_is_masked_in_every_clothing(form: str) -> None:
    masked = Masker([SECRET]).mask(f"before {form} after")
    assert "***" in masked
    assert SECRET not in masked and SECRET[3:15] not in masked
    assert base64.b64encode(SECRET.encode()).decode()[4:20] not in masked
    assert masked.startswith("before ") and masked.endswith(" after")


@given(st.text("abcXYZ019-_~é日", min_size=6, max_size=40), st.binary(max_size=9), st.binary(max_size=9))
def test_a_secret_is_masked_in_base64_at_any_offset(secret: str, before: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    masked = Masker([secret]).mask(encoded)
    # Of the secret at most the bits that share a character with its neighbours are left.
    assert len(masked.replace("***", "")) <= len(base64.b64encode(before + after)) + 4


def test_the_longer_of_two_secrets_is_masked_whole() -> None:
    assert Masker(["secret", "secret-and-more"]).mask("a secret-and-more b secret") == "a *** b ***"


def test_each_line_of_a_secret_is_masked() -> None:
    assert Masker(["first-line\nsecond-line\n"]).mask("x second-line y") == "x *** y"


def test_a_short_secret_is_refused_without_naming_it() -> None:
    with pytest.raises(ValueError, match="fewer than 6") as caught:
        Masker(["abc12"])
    assert "abc12" not in str(caught.value)


def test_an_empty_secret_masks_nothing() -> None:
    assert Masker(["", ""]).mask("plain text") == "plain text"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("clone https://me:pass@host.example/x", "clone https://***@host.example/x"),
        ("https://tok@host/x https://a:b@c@host/y", "https://***@host/x https://***@host/y"),
        ("git+ssh://git@host/x", "git+ssh://***@host/x"),
        ("https://host/@scope/package", "https://host/@scope/package"),
        ("write to me@host.example", "write to me@host.example"),
        ("key AKIAABCDEFGHIJKLMNOP.", "key ***."),
        ("ghp_" + "a" * 36, "***"),
        ("github_pat_" + "a1_" * 20, "***"),
        ("x ghs_" + "Z" * 40 + " y", "x *** y"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
        ('{"Authorization": "Bearer abc.def"}', '{"Authorization": "Bearer ***"}'),
        ("use bearer abcdefghijklmnopqrstuvwx", "use bearer ***"),
        ("bearer of bad news", "bearer of bad news"),
    ],
)
def test_credentials_are_known_by_their_shape(text: str, masked: str) -> None:
    assert Masker([]).mask(text) == masked


@pytest.mark.parametrize(
    "unit", ["a", "a://", "://@", "@", "ghp_", "\x1b]", "\x1b[", "authorization: ", "bearer ", " "]
)
def test_a_long_hostile_line_is_masked_without_growing(unit: str) -> None:
    line = unit * (65536 // len(unit))
    assert len(Masker([SECRET]).mask(line)) <= len(line) + 3


@given(st.text())
def test_masking_twice_is_masking_once(text: str) -> None:
    masker = Masker([SECRET])
    assert masker.mask(masker.mask(text)) == masker.mask(text)


# Chunks


def test_lines_wait_for_company_until_the_clock_says_so() -> None:
    chunker = Chunker(flush_after=0.5)
    assert chunker.add("one", 10.0) == []
    assert chunker.due(10.4) == []
    assert chunker.add("two", 10.4) == []
    assert chunker.due(10.5) == ["one\ntwo\n"]
    assert chunker.due(99.0) == []
    assert chunker.add("three", 99.0) == []
    assert chunker.close() == ["three\n"]


def test_a_line_that_comes_when_it_is_time_takes_the_others_along() -> None:
    chunker = Chunker(flush_after=0.5)
    chunker.add("one", 10.0)
    assert chunker.add("two", 11.0) == ["one\ntwo\n"]


def test_an_empty_log_has_no_chunks() -> None:
    assert Chunker().close() == []


def test_a_log_over_the_cap_keeps_its_beginning_and_its_end() -> None:
    chunker = Chunker(max_chunk_bytes=100, cap_bytes=MIB // 4, tail_bytes=50)
    chunks = [chunk for number in range(100_000) for chunk in chunker.add(f"line {number}", 0.0)]
    live = "".join(chunks + chunker.due(1.0))
    assert live.endswith("[repo2hub] log cut at 0.25 MiB; the last lines follow\n")
    text = live + "".join(chunker.close())
    assert text.startswith("line 0\nline 1\n")
    assert text.endswith("line 99998\nline 99999\n")
    assert text.count("[repo2hub] log cut") == 1
    assert len(text) <= MIB // 4 + 100


@given(st.lists(st.text(alphabet="aé€😀\x00\ud800\n", max_size=30), max_size=30), st.integers(8, 64))
def test_chunks_are_small_and_lose_nothing_under_the_cap(lines: list[str], size: int) -> None:
    chunker = Chunker(max_chunk_bytes=size)
    chunks = [chunk for line in lines for chunk in chunker.add(line, 0.0)] + chunker.close()
    assert "".join(chunks) == "".join(line.replace("\ud800", "?") + "\n" for line in lines)
    assert all(0 < len(chunk.encode()) <= size for chunk in chunks)


@given(st.lists(st.text(max_size=20)), st.integers(16, 60), st.integers(0, 40))
def test_a_cut_log_stays_within_the_cap_and_ends_with_the_last_line(
    lines: list[str], cap: int, tail: int
) -> None:
    chunker = Chunker(max_chunk_bytes=10, cap_bytes=cap, tail_bytes=tail)
    text = "".join([chunk for line in lines for chunk in chunker.add(line, 0.0)] + chunker.close())
    whole = "".join(line + "\n" for line in lines)
    if "[repo2hub]" not in text:
        assert text == whole
    else:
        head, _, rest = text.partition("[repo2hub]")
        end = rest.partition("follow\n")[2]
        assert whole.startswith(head) and whole.endswith(end)
        assert len((head + end).encode()) <= cap
