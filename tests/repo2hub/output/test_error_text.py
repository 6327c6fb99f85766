"""One line out of an error or of output."""

from repo2hub.output.error_text import first_line, last_line


def test_an_error_is_its_first_line_cut_to_200_characters() -> None:
    assert first_line(OSError("\nfirst\nsecond")) == "first"
    assert first_line("x" * 300) == "x" * 200


def test_output_is_its_last_line() -> None:
    assert last_line("warning: x\nerror: y\n") == "error: y"


def test_without_text_there_is_no_reason() -> None:
    assert first_line(OSError()) == last_line(" \n") == "no reason given"
