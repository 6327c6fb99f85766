"""Read and validate what clients put into paths and queries."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlencode

from db.columns import MAX_ID
from webhook.http.errors import HttpError

E = TypeVar("E", bound=StrEnum)


def parse_number(text: str, name: str, maximum: int = MAX_ID) -> int:
    """Return a whole number from 1 to `maximum`. Raises HttpError 422."""
    if re.fullmatch(r"[0-9]{1,19}", text) and 1 <= int(text) <= maximum:
        return int(text)
    raise HttpError(422, f"bad_{name}", f"{name} must be a whole number from 1 to {maximum}.")


def parse_enum(text: str, name: str, members: type[E]) -> E:
    """Return the member of an enum. Raises HttpError 422."""
    try:
        return members(text)
    except ValueError:
        raise HttpError(422, f"bad_{name}", f"{name} must be one of: {', '.join(members)}.") from None


def parse_build_id(text: str) -> int:
    """Return the id of a build. Raises HttpError 404: an id that no build can have is an unknown build."""
    try:
        return parse_number(text, "id")
    except HttpError:
        raise unknown_build() from None


def unknown_build() -> HttpError:
    """Return the error for a build that does not exist, or that the user may not see."""
    return HttpError(404, "unknown_build", "Build not found.")


def with_query(path: str, query: dict[str, str], **changes: object) -> str:
    """Return a path with a query string, in which some parameters are replaced."""
    return f"{path}?{urlencode(query | {name: str(value) for name, value in changes.items()})}"


def request_target(environ: Mapping[str, Any]) -> str:
    """Return the path and query of a request as they were sent, or "" if the server does not provide them."""
    return str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "")
