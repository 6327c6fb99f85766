"""Where a command's words go, and what they may do there.

Results go to stdout, remarks to stderr; colours only where the stream is a terminal and NO_COLOR is not set.
What a repository wrote (a ref, a log, an error that quotes either) is hostile to a terminal: it could move the
cursor, change the title or fill the clipboard. So nothing of it is printed that did not pass through here.
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
    """Return hostile text as one harmless line."""
    return re.sub(r"\s", " ", remove_controls_and_colours(str(text)).strip("\n"))


class Terminal:
    """The two streams of a command."""

    def __init__(self) -> None:
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)

    def echo(self, text: object, tone: Tone = "plain") -> None:
        """Print a line of result."""
        _print(self.out, text, tone)

    def note(self, text: object, tone: Tone = "dim") -> None:
        """Print a remark, which a script that reads the result does not see."""
        _print(self.err, text, tone)

    def error(self, text: object) -> None:
        """Print what went wrong."""
        _print(self.err, text, "bad")

    def json(self, value: Any) -> None:
        """Print a value for a script; everything but ASCII is escaped."""
        self.out.file.write(json.dumps(value, indent=2) + "\n")
        self.out.file.flush()

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Show on a terminal that something goes on, for as long as the block runs."""
        return self.err.status(sanitize_line(text)) if self.err.is_terminal else nullcontext()

    def log(self, text: str, *, to_stderr: bool = False) -> None:
        """Print a piece of a build's log as it is, with its colours where they are wanted."""
        console = self.err if to_stderr else self.out
        if console.is_terminal and console.color_system and not console.no_color:
            harmless = remove_controls(text)
            console.file.write(harmless + (_RESET_COLOURS if "\x1b" in harmless else ""))
        else:
            console.file.write(remove_controls_and_colours(text))
        console.file.flush()

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[tuple[object, Tone]]]) -> None:
        """Print rows under heads; elsewhere than on a terminal plain columns, never cut."""
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
    # The stream is named for the tests' sake, which replace it; rich would look it up by itself.
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _print(console: Console, text: object, tone: Tone) -> None:
    console.print(Text(sanitize_line(text), style=_STYLES[tone]))
