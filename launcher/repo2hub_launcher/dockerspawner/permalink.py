"""Links that fill in the form of the spawn page: `/hub/spawn?repo=org/repo&ref=main`.

The hub takes any query of its spawn page for user options and starts a server at once, without a click. Anyone
can write such a link, and the server would run the code of any repository. So the query is removed before the
hub reads it, unless the admin allows automatic starts and the link asks for one.
"""

from collections.abc import Mapping
from typing import Any

from repo2hub_launcher.spawning.user_options import MAX_TEXT_LENGTH

_FIELDS = ("repo", "ref", "resources")
_HUB_ARGUMENTS = ("next", "display_name")  # which the hub itself uses


def form_fields(arguments: Mapping[str, list[bytes]]) -> dict[str, str]:
    """Return the form fields in a query: `repo`, `ref`, `resources`, with or without the hub's prefix `opt-`."""
    found = {}
    for name in _FIELDS:
        values = arguments.get(name) or arguments.get(f"opt-{name}")
        if values:
            found[name] = values[0].decode("utf-8", "replace")[:MAX_TEXT_LENGTH]
    return found


def asks_for_autostart(arguments: Mapping[str, list[bytes]]) -> bool:
    """Return whether a query asks for an automatic start."""
    return any(arguments.get(name) == [b"true"] for name in ("autostart", "opt-autostart"))


def prevent_autostart(handler: Any, *, allow_autostart: bool) -> None:
    """Remove the query of a spawn page's request, unless it may start a server.

    The hub reads `query_arguments`; `arguments` keeps the query for the form.
    """
    request = getattr(handler, "request", None)
    if request is None or request.method != "GET":
        return
    if allow_autostart and asks_for_autostart(request.query_arguments):
        return
    for name in [name for name in request.query_arguments if name not in _HUB_ARGUMENTS]:
        del request.query_arguments[name]
