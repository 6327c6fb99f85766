"""What callers write in paths, queries and bodies, and what is wrong with it: checked before anything is done."""

import json
import re
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlencode

from webhook.http.errors import HttpError

W = TypeVar("W", bound=StrEnum)

MAX_ID = 2**63 - 1
_REQUEST = {"repository", "ref", "force"}


def parse_number(text: str, name: str, most: int = MAX_ID) -> int:
    """Return a whole number from 1 to `most`. Raises HttpError."""
    if re.fullmatch(r"[0-9]{1,19}", text) and 1 <= int(text) <= most:
        return int(text)
    raise HttpError(422, f"bad_{name}", f"{name} is a number from 1 to {most}.")


def build_id(text: str) -> int:
    """Return a build's id. What no build can have for an id is an unknown build."""
    try:
        return parse_number(text, "id")
    except HttpError:
        raise unknown_build() from None


def unknown_build() -> HttpError:
    """Return the answer for a build that is not there."""
    return HttpError(404, "unknown_build", "There is no such build.")


def parse_enum(text: str, name: str, words: type[W]) -> W:
    """Return the member of the enum `words`. Raises HttpError."""
    try:
        return words(text)
    except ValueError:
        raise HttpError(422, f"bad_{name}", f"{name} is one of {', '.join(words)}.") from None


def parse_build_request(raw: bytes) -> tuple[str, str, bool]:
    """Return repository, ref and force of a request to build, given as JSON. Raises HttpError."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):  # the latter: a few kilobytes of nested brackets
        body = None
    if not isinstance(body, dict):
        raise HttpError(422, "bad_body", 'Send an object such as {"repository": "org/repo", "ref": "main"}.')
    if unknown := sorted(str(name) for name in body.keys() - _REQUEST):
        raise HttpError(422, "unknown_field", f"There is no field {', '.join(unknown)[:100]}.")
    repository, ref, force = body.get("repository"), body.get("ref", "HEAD"), body.get("force", False)
    if not isinstance(repository, str):
        raise HttpError(422, "bad_repository", "Give the repository as org/repo.")
    if not isinstance(ref, str):
        raise HttpError(422, "bad_ref", "Give the ref as a branch, a tag, a commit, or HEAD.")
    if not isinstance(force, bool):
        raise HttpError(422, "bad_force", "force is true or false.")
    return repository, ref, force


def with_query(path: str, given: dict[str, str], **more: object) -> str:
    """Return a path with the query that was given, and some of it replaced."""
    return f"{path}?{urlencode(given | {name: str(value) for name, value in more.items()})}"
