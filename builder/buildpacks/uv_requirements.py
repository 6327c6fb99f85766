"""Decide whether uv can install a requirements.txt, and whether before the repository is copied.

repo2docker installs the file before it copies the repository, so that a push of a notebook reuses the layer of
the packages, unless a line refers to the repository's own files. Here, a line that is not certain to be
independent of the repository is installed after the copy, which is slower but never wrong.
"""

import re
from collections.abc import Iterator

from packaging.requirements import InvalidRequirement, Requirement

_INDEPENDENT_OPTIONS = (
    "--extra-index-url",
    "--hash",
    "--index-url",
    "--no-binary",
    "--no-index",
    "--only-binary",
    "--pre",
    "--prefer-binary",
    "--require-hashes",
    "--trusted-host",
    "--use-feature",
    "-i",
)
_UNSUPPORTED_VCS = re.compile(r"(^|[\s@])(hg|svn|bzr)\+")
_EDITABLE_URL = re.compile(r"^(-e|--editable)[\s=]*[\w+.-]+://(?!/)")
_PIP_ONLY_OPTION = re.compile(r"\s--(global-option|install-option|config-settings?)\b")


def decode_requirements(content: bytes) -> str:
    """Decode a requirements file as uv does. Raises UnicodeDecodeError if uv could not."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def is_independent(content: str) -> bool:
    """Return whether no line can refer to a file of the repository."""
    return all(_line_is_independent(line) for line in _lines(content))


def unsupported_line(content: str) -> str | None:
    """Return the first line that pip supports and uv does not, or None."""
    for line in _lines(content):
        if _UNSUPPORTED_VCS.search(line) or _EDITABLE_URL.match(line) or _PIP_ONLY_OPTION.search(line):
            return line
    return None


def _lines(content: str) -> Iterator[str]:
    joined = re.sub(r"\\\r?\n", " ", content)
    for line in joined.splitlines():
        # pip's rule: "#" starts a comment only after white space, since URLs may contain it.
        stripped = re.sub(r"(^|\s)#.*$", "", line).strip()
        if stripped:
            yield stripped


def _line_is_independent(line: str) -> bool:
    requirement, *options = re.split(r"(?:^|\s+)(?=-)", line)
    return all(map(_option_is_independent, options)) and (not requirement or _names_a_package(requirement))


def _option_is_independent(option: str) -> bool:
    name, _, value = option.replace("=", " ", 1).partition(" ")
    if name in ("-f", "--find-links"):
        return value.strip().startswith(("http://", "https://"))
    return name in _INDEPENDENT_OPTIONS and not value.strip().startswith((".", "/", "file:"))


def _names_a_package(requirement: str) -> bool:
    try:
        url = Requirement(requirement).url
    except InvalidRequirement:
        return requirement.startswith(("http://", "https://", "git+https://"))
    return url is None or (not url.startswith("file:") and "://" in url)
