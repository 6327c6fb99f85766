"""Collect user-facing texts from HTML templates: what is between the tags, and what attributes say.

Jinja's conditions become [a | b], its values {name}; elements within a sentence (links, code) stay part of it.
"""

import re
from html.parser import HTMLParser

from tests.texts.prose import one_line

_INLINE = {"a", "abbr", "b", "code", "em", "i", "label", "mark", "small", "span", "strong", "time", "button"}
_SPOKEN = ("aria-label", "title", "placeholder", "alt", "data-label")
_SKIPPED = {"script", "style", "svg"}
_STATEMENT = re.compile(r"\{%-?\s*(\w+).*?-?%\}", re.DOTALL)
_COMMENT = re.compile(r"\{#.*?#\}|<!--.*?-->", re.DOTALL)
_VALUE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_STRING = re.compile(r"'([^'<>]* [^'<>]*)'|\"([^\"<>]* [^\"<>]*)\"")
_IN_TAG = re.compile(r"(<[a-zA-Z][^<>{]*(?:\{[^<>]*?\}[^<>{]*)*>)")
_FOR = re.compile(r"\{%-?\s*for\s(.*?)%\}", re.DOTALL)
_LABEL = re.compile(r"\"([A-Z][a-z]+|[a-z]+ [a-z ]+)\"")
_SET = re.compile(r"\{%-?\s*set\s.*?%\}", re.DOTALL)
_MARKS = {"if": "[", "elif": "|", "else": "|", "endif": "]"}


def template_texts(source: str) -> list[str]:
    """Return the texts of a template as `element: text`, in the order of the source, each once."""
    source = _COMMENT.sub("", source)
    inner = [
        f"value: {one_line(first or second)}"
        for value in [*_VALUE.findall(source), *_SET.findall(source)]
        for first, second in _STRING.findall(value)
        if re.search(r"[A-Za-z]{2} \w", first + second) and " if " not in first + second
    ]
    inner += [f"label: {label}" for loop in _FOR.findall(source) for label in _LABEL.findall(loop)]
    source = _SET.sub("", source)
    source = _VALUE.sub(lambda match: f"{{{_value_name(match[1])}}}", source)
    source = _IN_TAG.sub(lambda match: _STATEMENT.sub(" ", match[1]), source)
    source = _STATEMENT.sub(lambda match: _mark(match[1]), source)
    parser = _Texts()
    parser.feed(source)
    parser.close()
    parser.flush()
    return list(dict.fromkeys([*parser.texts, *inner]))


def _value_name(expression: str) -> str:
    """Return a name for a printed expression: its last filter's argument, its function, its attribute."""
    words = re.findall(r"[A-Za-z_][\w.]*", re.sub(r"'[^']*'|\"[^\"]*\"", "", expression))
    words = [word for word in words if word not in {"if", "else", "not", "or", "and", "ui", "ui.copied"}]
    return words[0].rsplit(".", 1)[-1] if words else "…"


def _mark(keyword: str) -> str:
    mark = _MARKS.get(keyword, "")
    return f" {mark} " if mark == "|" else mark


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._element = "text"
        self._pending = ""
        self._skipping = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _INLINE:
            self.flush()
            self._element = tag
        if tag in _SKIPPED:
            self._skipping = tag
        for name, value in attrs:
            if name in _SPOKEN and value:
                self._add(f"{tag} {name}", value)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._skipping:
            self._skipping = ""
        if tag not in _INLINE:
            self.flush()

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self._pending += data

    def flush(self) -> None:
        """Note the text since the last element that ends a sentence."""
        self._add(self._element, self._pending)
        self._pending = ""

    def _add(self, context: str, text: str) -> None:
        text = _balanced(one_line(text))
        words = re.sub(r"\{[^}]*\}", "", text)
        if re.search(r"[A-Za-z]{2}", words):
            self.texts.append(f"{context}: {text}")


def _balanced(text: str) -> str:
    """Return a text without marks of conditions that go beyond it, or that have nothing within."""
    depth, kept = 0, []
    closers = text.count("]")
    for character in text:
        if character == "[":
            if closers == 0:
                continue
            depth += 1
            closers -= 1
        elif character == "]":
            if depth == 0:
                closers -= 1
                continue
            depth -= 1
        elif character == "|" and depth == 0:
            continue
        kept.append(character)
    text = "".join(kept)
    before = ""
    while before != text:
        before, text = text, re.sub(r"\[[\s|]*\]", "", text)
    return one_line(text)
