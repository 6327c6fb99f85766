"""Links to share, in Binder's form: `/v2/gh/org/repo/main` leads to the hub's spawn page, filled in.

Nothing is looked up and nobody need have logged in: the hub sees to that, and it is the hub's page where a person
decides. `?urlpath=lab/tree/a.ipynb` (or Binder's `labpath`, `filepath`) says where in the server they arrive.
"""

from urllib.parse import unquote, urlencode

from flask import Blueprint, Response, redirect, request

from webhook.http.errors import HttpError
from webhook.lookup.revision import parse_ref, parse_spec
from webhook.settings import WebSettings

_MAX_LENGTH = 1000
_FILES = ("labpath", "filepath")


def blueprint(settings: WebSettings) -> Blueprint:
    """Return the route, to be registered under the base path."""
    share = Blueprint("share", __name__)

    @share.get("/v2/gh/<path:spec>")
    def to_launcher(spec: str) -> Response:
        full_name, ref = parse_spec(spec, settings.github_url)
        wanted = {"repo": full_name, "ref": parse_ref(ref).text}
        place = _server_path()
        if place:
            # The hub takes whoever it is to their own server.
            wanted["next"] = f"{settings.hub_path}user-redirect/{place}"
        answer = redirect(f"{settings.launcher_url}?{urlencode(wanted)}", 302)
        assert isinstance(answer, Response)  # noqa: S101 -- Flask's own
        return answer

    return share


def _server_path() -> str | None:
    """Return the path in a server that the link names, None where it names none. Raises HttpError."""
    place = request.args.get("urlpath")
    for name in _FILES:
        if place is None and name in request.args:
            place = f"lab/tree/{request.args[name].lstrip('/')}"
    if place is None:
        return None
    place = place.lstrip("/")
    # A browser would follow `..` out of the server, and takes a backslash for a slash.
    parts = unquote(place.partition("?")[0]).replace("\\", "/").split("/")
    if len(place) > _MAX_LENGTH or not place.isprintable() or ".." in parts or "\\" in place:
        raise HttpError(
            422, "bad_urlpath", "urlpath must be a path on the user server, such as lab/tree/a.ipynb."
        )
    return place
