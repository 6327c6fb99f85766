"""Hostile text is only text, wherever it is shown: the same list holds for all who show it."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.sanitize import one_line, remove_controls, sanitize_for_page
from builder.logs.masking import Masker
from repo2hub.output import terminal
from repo2hub_launcher.spawning import prepare_image
from tests.conftest import ROOT
from webhook.pages import jinja

CONTROLS = [chr(number) for number in (*range(32), 127, *range(128, 160)) if chr(number) not in "\t\n"]
DIRECTIONS = list("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
ESCAPES = ["\x1b[2J", "\x1b[10;10H", "\x1b]0;title\x07", "\x1b]8;;https://x.example\x1b\\", "\x1bPq#0\x1b\\"]
ESCAPES += ["\x1b[?1049h", "\x1bc", "\x1b(0"]


def script(path: str) -> Callable[[str], str]:
    """Take out what the pattern of a script takes out."""
    found = re.search(r"const CONTROLS =\s*/(.+)/g;", (ROOT / path).read_text(encoding="utf-8"))
    assert found is not None, path
    return lambda text: re.sub(found[1], "", text)


SHOWN_BY: dict[str, Callable[[str], str]] = {
    "a builder's log": Masker([]).mask,
    "a builder's message": lambda text: one_line(text, 100),
    "a terminal": terminal.sanitize_line,
    "a page": jinja._sanitized,
    "the hub's progress page": prepare_image.sanitize_log_line,
    "the script of a build's page": script("webhook/pages/static/log-text.js"),
    "the launcher's script": script("launcher/repo2hub_launcher/dockerspawner/launcher.js"),
}


@pytest.mark.parametrize("by", SHOWN_BY)
def test_what_is_acted_on_is_shown_by_nobody(by: str) -> None:
    for hostile in (*CONTROLS, *DIRECTIONS):
        shown = SHOWN_BY[by](f"a{hostile}é")
        assert hostile not in shown and shown.endswith("é"), ascii(hostile)


@pytest.mark.parametrize("by", [by for by in SHOWN_BY if "build's page" not in by])
def test_escapes_go_whole(by: str) -> None:
    for hostile in ESCAPES:
        assert SHOWN_BY[by](f"a{hostile}b") == "ab", ascii(hostile)


@pytest.mark.parametrize("by", [by for by in SHOWN_BY if "script" not in by])
def test_what_is_shown_can_be_stored_and_sent(by: str) -> None:
    assert "\ud800" not in SHOWN_BY[by]("a\ud800b")


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("a\x1b[2Jb", "ab"),
        ("a\x1b[10;10Hb", "ab"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;https://x.example\x1b\\b", "ab"),
        ("a\x1bPq#0\x1b\\b", "ab"),
        ("a\x1b[6nb", "ab"),
        ("a\x1b[?1049hb", "ab"),
        ("a\x1bcb", "ab"),
        ("a\x1b(0b", "ab"),
        ("a\x9b2Jb", "a2Jb"),
        ("a\x1b]0;never ended", "a0;never ended"),
        ("a\x00b\x07c\x08d\x7fe\rf", "abcdef"),
        ("a\u202eb", "ab"),
        ("a\ud800b", "a\ufffdb"),
        ("a\x1b\x00[2Jb", "a[2Jb"),
    ],
)
def test_what_a_terminal_would_act_on_is_removed(hostile: str, harmless: str) -> None:
    assert remove_controls(hostile) == harmless


def test_colours_tabs_and_newlines_stay() -> None:
    text = "\x1b[1;31mred\x1b[0m\tand\n\x1b[38;5;200mpink\x1b[m é 日本"
    assert remove_controls(text) == text


@given(st.text(alphabet=st.sampled_from("\x1b[]0;mHJ\x07\\P\x00\x9b\ud800ab\n(?")))
def test_nothing_but_colours_is_left_of_any_text(text: str) -> None:
    clean = remove_controls(text)
    assert remove_controls(clean) == clean
    assert "\x00" not in clean
    clean.encode("utf-8")
    for after in clean.split("\x1b")[1:]:
        assert after.startswith("[") and after[1:].lstrip("0123456789;:").startswith("m")


def test_a_page_shows_that_something_was_there() -> None:
    text = "a\x1b[31mred\x1b[0m \x1b]0;title\x07 bell\x07 \u202eevil\u2066 nul\0 tab\tline\n"
    assert sanitize_for_page(text) == "ared  bell\ufffd \ufffdevil\ufffd nul\ufffd tab\tline\n"
