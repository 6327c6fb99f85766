"""Links to the spawn page that fill its form in: `/hub/spawn?repo=org/repo&ref=main`.

The hub takes any query of its spawn page for the options of a server, and starts it at once, with no click. A link
is written by anybody, and what it starts runs the code of anybody's repository. So a query never gets that far
unless the admin allows it and the link asks for it.
"""

from collections.abc import Mapping
from typing import Any

from repo2hub_launcher.spawning.user_options import MAX_TEXT_LENGTH

_FIELDS = ("repo", "ref", "resources")
_HUB_ARGUMENTS = ("next", "display_name")  # the hub's own


def form_fields(arguments: Mapping[str, list[bytes]]) -> dict[str, str]:
    """Return what a query fills in: `repo`, `ref`, `resources`, with or without the hub's prefix `opt-`."""
    found = {}
    for name in _FIELDS:
        values = arguments.get(name) or arguments.get(f"opt-{name}")
        if values:
            found[name] = values[0].decode("utf-8", "replace")[:MAX_TEXT_LENGTH]
    return found


def asks_for_autostart(arguments: Mapping[str, list[bytes]]) -> bool:
    """Say whether a query asks for the server to be started at once."""
    return any(arguments.get(name) == [b"true"] for name in ("autostart", "opt-autostart"))


def prevent_autostart(handler: Any, *, allow_autostart: bool) -> None:
    """Take out of a spawn page's request what would make the hub start a server, if it may not do so.

    The hub reads `query_arguments`, while `arguments` keeps all of it for the form.
    """
    request = getattr(handler, "request", None)
    if request is None or request.method != "GET":
        return
    if allow_autostart and asks_for_autostart(request.query_arguments):
        return
    for name in [name for name in request.query_arguments if name not in _HUB_ARGUMENTS]:
        del request.query_arguments[name]
