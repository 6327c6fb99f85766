"""What reaches a terminal: no control characters, colours only on terminals that show them."""

import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from base.sanitize import remove_controls_and_colours
from repo2hub.output.terminal import Terminal, sanitize_line

SAFE = {"\t", "\n"}


@given(st.text(st.characters() | st.sampled_from("\x1b[]m;\x9b\x07\u202e\r\n0")))
@example("\x1b[2J\x1b]0;title\x07ok\x1b[31mred\x1b[0m")
@example("\x1b\x1b[m[2J")
def test_sanitized_text_has_no_control_characters(text: str) -> None:
    kept = set(remove_controls_and_colours(text)) - SAFE
    assert not {one for one in kept if ord(one) < 32 or 127 <= ord(one) < 160 or one == "\u202e"}
    assert not {"\n", "\r", "\t", "\x1b", "\x85", "\u2028"} & set(sanitize_line(text))


def terminal_with(stream: io.StringIO, **options: object) -> Terminal:
    terminal = Terminal()
    terminal.out = Console(file=stream, force_terminal=True, color_system="256", **options)  # type: ignore[arg-type]
    return terminal


def test_a_log_keeps_only_its_colours_on_a_terminal() -> None:
    stream = io.StringIO()
    terminal_with(stream).log("\x1b[31mred\x1b[2J\n")
    assert stream.getvalue() == "\x1b[31mred\n\x1b[0m"


def test_logs_respect_no_color() -> None:
    stream = io.StringIO()
    terminal_with(stream, no_color=True).log("\x1b[31mred\n")
    assert stream.getvalue() == "red\n"


def test_lines_are_plain_and_uncut_if_stdout_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.log("\x1b[31mred\x1b[0m\n")
    terminal.echo("[bold]" + "x" * 300, "good")
    terminal.table(("A", "B"), [[("1\x1b[2J", "bad"), ("y" * 300, "plain")]])
    out = capsys.readouterr().out
    assert out == "red\n[bold]" + "x" * 300 + "\nA  B\n1  " + "y" * 300 + "\n"
