"""Which strings of a program are prose. Pure."""

import re

_WORDS = re.compile(r"[A-Za-z'\u2019`),.:;}\]][,.:;]? +[`({\[A-Za-z0-9“\"'<-]")
_SQL = re.compile(
    r"\s*(?:SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|PRAGMA|WITH|LISTEN|UNLISTEN|NOTIFY|SET|BEGIN|COMMIT"
    r"|ON CONFLICT|EXPLAIN|LOCK|VACUUM|FOR UPDATE)\b"
)
_PATTERN = re.compile(r"\(\?[:P=!<im]|\\[sSdbwA]|\[\^|\\\.|\]\+|\.\*")
_SELECTOR_ONLY = re.compile(r"[#.\[][\w-]+[\w\s#.:\[\]=\"'>,()-]*$")
_CODE = re.compile(
    r"&& |\w\|\w|; charset=|max-age|default-src|^(?:FROM|RUN|-\w|use strict$|\(|Basic \{|Bearer \{)"
)
_TAGS = re.compile(r"<[^>]*>")
_PLACEHOLDERS = re.compile(r"\{[^{}]*\}")


def is_prose(text: str) -> bool:
    """Return whether a string reads as words of a language, not as SQL, a pattern, a selector, code or markup."""
    if (
        any(kind.match(text) for kind in (_SQL, _SELECTOR_ONLY))
        or _PATTERN.search(text)
        or _CODE.search(text)
    ):
        return False
    text = _TAGS.sub(" ", text)
    return bool(_WORDS.search(text)) and bool(re.search(r"[a-z]{3}", _PLACEHOLDERS.sub("", text)))


def is_label(text: str) -> bool:
    """Return whether a string can be a label of one word: `Cancelled`."""
    return re.fullmatch(r"[A-Z][a-z]{2,}…?", text) is not None


def one_line(text: str) -> str:
    """Return a text on one line, single-spaced."""
    return " ".join(text.split())
