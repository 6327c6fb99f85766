"""Sanitize untrusted text (logs, refs, errors that quote them) for terminals and pages. Pure.

Terminals execute escape sequences and control characters; terminals and pages reorder text at direction marks, so
that it reads differently from its content. Builder, web application and command line share this list.

The launcher and the scripts of pages and launcher have copies of it; a test keeps them the same.
"""

import re

# Every quantifier is bounded or stops at its own introducer, so a hostile 64 kB line takes linear time.
_COLOUR = r"\x1b\[[0-9;:]{0,64}m"
# OSC and similar, CSI, other escapes.
_ESCAPE = (
    r"\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]"
    r"|\x1b[ -/]{0,8}[0-~]"
)
# C0 except tab and newline, DEL, C1, direction marks and overrides.
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"

_COLOURS = re.compile(_COLOUR)
_ESCAPES = re.compile(_ESCAPE)
_CONTROLS = re.compile(_CONTROL)
_ALL_BUT_COLOURS = re.compile(rf"(?P<colour>{_COLOUR})|{_ESCAPE}|{_CONTROL}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def remove_controls(text: str) -> str:
    """Remove everything that a terminal executes, except colours (SGR), tabs and newlines.

    The result has no NUL, which PostgreSQL rejects, and no lone surrogate, which UTF-8 cannot encode.
    """
    text = _ALL_BUT_COLOURS.sub(lambda found: found["colour"] or "", text)
    return _SURROGATE.sub(_REPLACEMENT, text)


def remove_controls_and_colours(text: str) -> str:
    """Remove everything that a terminal executes, colours too, except tabs and newlines."""
    return _COLOURS.sub("", remove_controls(text))


def one_line(text: str, limit: int) -> str:
    """Return a text as one line of at most `limit` characters."""
    line = " ".join(remove_controls_and_colours(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def sanitize_for_page(text: str) -> str:
    """Return a text without control characters; the template escapes it.

    Each is replaced by a visible character, so that readers notice a manipulated name.
    """
    text = _CONTROLS.sub(_REPLACEMENT, _ESCAPES.sub("", text))
    return _SURROGATE.sub(_REPLACEMENT, text)
