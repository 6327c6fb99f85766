"""Text of anybody's (logs, refs, errors that quote them) made harmless to what shows it: terminals and pages.

A terminal acts on escapes and controls, and terminals and pages turn text around at its direction marks, so that
what is read is not what stands there. One list of these for builder, web application and command line. Pure.

The launcher, in an environment of its own, has the same list (`spawn.readable`), and so have the scripts of the
pages and of the launcher; a test holds all of them to it.
"""

import re

# Every quantifier is bounded or stops at its own introducer: a hostile 64 kB line costs linear time.
_COLOUR = r"\x1b\[[0-9;:]{0,64}m"
# OSC and its kin, CSI, other escapes.
_ESCAPE = (
    r"\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]"
    r"|\x1b[ -/]{0,8}[0-~]"
)
# C0 but tab and newline, DEL, C1, and the marks and overrides of direction.
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"

_COLOURS = re.compile(_COLOUR)
_ESCAPES = re.compile(_ESCAPE)
_CONTROLS = re.compile(_CONTROL)
_ALL_BUT_COLOURS = re.compile(rf"(?P<colour>{_COLOUR})|{_ESCAPE}|{_CONTROL}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def remove_controls(text: str) -> str:
    """Drop what a terminal would act on, but keep colours (SGR), tabs and newlines.

    No NUL (PostgreSQL refuses it) and no lone surrogate (UTF-8 does) is left.
    """
    text = _ALL_BUT_COLOURS.sub(lambda found: found["colour"] or "", text)
    return _SURROGATE.sub(_REPLACEMENT, text)


def remove_controls_and_colours(text: str) -> str:
    """Drop what a terminal would act on, colours too, but keep tabs and newlines."""
    return _COLOURS.sub("", remove_controls(text))


def one_line(text: str, limit: int) -> str:
    """Return a text as one short line."""
    line = " ".join(remove_controls_and_colours(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def sanitize_for_page(text: str) -> str:
    """Return a text with nothing in it that a page could act on; escaping it is the template's.

    What does not belong there shows: whoever reads a name is to see that it holds more.
    """
    text = _CONTROLS.sub(_REPLACEMENT, _ESCAPES.sub("", text))
    return _SURROGATE.sub(_REPLACEMENT, text)
