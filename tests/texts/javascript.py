"""Collect user-facing texts from JavaScript: string and template literals that read as prose, and labels."""

import re

from tests.texts.prose import is_label, is_prose, one_line

_TOKEN = re.compile(
    r"""
    (?P<comment>//[^\n]*|/\*.*?\*/)
    | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    | (?P<template>`(?:[^`\\]|\\.)*`)
    | (?P<regex>(?:(?<=[=(,:;!&|?{}\[])|(?<=[=(,:;!&|?{}\[]\s)|(?<=return\s))
        /(?![/*])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*)
    """,
    re.VERBOSE | re.DOTALL,
)
_PLACEHOLDER = re.compile(r"\$\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")


def javascript_texts(source: str) -> list[str]:
    """Return the texts of a script, in the order of the source, each once."""
    texts: list[str] = []
    for match in _TOKEN.finditer(source):
        if match["string"]:
            before, after = source[: match.start()].rstrip()[-3:], source[match.end() :].lstrip()[:1]
            text = match["string"][1:-1]
            is_key = after == ":" and before[-1:] in "{,"
            if is_prose(text) or (is_label(text) and before not in {"===", "!=="} and not is_key):
                texts.append(one_line(text))
        elif match["template"]:
            texts += _template(match["template"][1:-1])
    return list(dict.fromkeys(f"text: {text}" for text in texts))


def _template(literal: str) -> list[str]:
    """Return a template literal with placeholders as {name}, and the texts within its placeholders."""
    inner = [text for code in _PLACEHOLDER.findall(literal) for text in javascript_texts(code)]
    text = _PLACEHOLDER.sub(lambda match: f"{{{_placeholder_name(match[1])}}}", literal)
    found = [one_line(text)] if is_prose(text) else []
    return found + [text.removeprefix("text: ") for text in inner]


def _placeholder_name(code: str) -> str:
    words = re.findall(r"[A-Za-z_]\w*", re.sub(r"\"[^\"]*\"|'[^']*'", "", code))
    return words[-1] if words else "…"
