"""The output of commands: results to stdout, notes and errors to stderr.

Colours are used only if the stream is a terminal and NO_COLOR is not set. Text that comes from a repository (a
ref, a log, an error that quotes them) can contain escape sequences that move the cursor, change the title or
fill the clipboard, so everything that is printed is sanitized here.
"""

import json
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from base.sanitize import remove_controls, remove_controls_and_colours

Tone = Literal["plain", "good", "warn", "bad", "dim", "bold"]
_STYLES = {"plain": "", "good": "green", "warn": "yellow", "bad": "red", "dim": "dim", "bold": "bold"}
_RESET_COLOURS = "\x1b[0m"


def sanitize_line(text: object) -> str:
    """Return untrusted text as one line without control characters."""
    return re.sub(r"\s", " ", remove_controls_and_colours(str(text)).strip("\n"))


class Terminal:
    """The two streams of a command."""

    def __init__(self) -> None:
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)

    def echo(self, text: object, tone: Tone = "plain") -> None:
        """Print a line of the result to stdout."""
        _print(self.out, text, tone)

    def note(self, text: object, tone: Tone = "dim") -> None:
        """Print a note to stderr, so that it is no part of the result that a script reads."""
        _print(self.err, text, tone)

    def error(self, text: object) -> None:
        """Print an error to stderr."""
        _print(self.err, text, "bad")

    def json(self, value: Any) -> None:
        """Print a value as JSON; characters outside ASCII are escaped."""
        self.out.file.write(json.dumps(value, indent=2) + "\n")
        self.out.file.flush()

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Show a spinner on a terminal while the block runs."""
        return self.err.status(sanitize_line(text)) if self.err.is_terminal else nullcontext()

    def log(self, text: str, *, to_stderr: bool = False) -> None:
        """Print a piece of a build log, with its colours if the stream shows colours."""
        console = self.err if to_stderr else self.out
        if console.is_terminal and console.color_system and not console.no_color:
            sanitized = remove_controls(text)
            console.file.write(sanitized + (_RESET_COLOURS if "\x1b" in sanitized else ""))
        else:
            console.file.write(remove_controls_and_colours(text))
        console.file.flush()

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[tuple[object, Tone]]]) -> None:
        """Print rows under headings; if stdout is no terminal, as plain columns that are never cut."""
        cells = [[Text(sanitize_line(value), style=_STYLES[tone]) for value, tone in row] for row in rows]
        if not self.out.is_terminal:
            self._columns([[*headings], *([cell.plain for cell in row] for row in cells)])
            return
        table = Table(*headings, box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for row in cells:
            table.add_row(*row)
        self.out.print(table)

    def _columns(self, rows: Sequence[Sequence[str]]) -> None:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            padded = (value.ljust(width) for value, width in zip(row, widths, strict=True))
            self.out.file.write("  ".join(padded).rstrip() + "\n")
        self.out.file.flush()


def _console(*, stderr: bool) -> Console:
    # The stream is passed explicitly, so that it is the one at this moment: tests replace sys.stdout.
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _print(console: Console, text: object, tone: Tone) -> None:
    console.print(Text(sanitize_line(text), style=_STYLES[tone]))
