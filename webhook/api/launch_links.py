"""Launch links in Binder's format: `/v2/gh/org/repo/main` opens the hub's spawn page, filled in.

The link needs no login and reads no records: the hub authenticates the user, who confirms on the hub's page.
`?urlpath=lab/tree/a.ipynb` (or Binder's `labpath` and `filepath`) is the page that the server opens.
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
        form = {"repo": full_name, "ref": parse_ref(ref).text}
        path = _server_path()
        if path:
            # The hub redirects each user to their own server.
            form["next"] = f"{settings.hub_path}user-redirect/{path}"
        answer = redirect(f"{settings.launcher_url}?{urlencode(form)}", 302)
        assert isinstance(answer, Response)  # noqa: S101 -- Flask's own
        return answer

    return share


def _server_path() -> str | None:
    """Return the page that the server opens, or None. Raises HttpError."""
    path = request.args.get("urlpath")
    for name in _FILES:
        if path is None and name in request.args:
            path = f"lab/tree/{request.args[name].lstrip('/')}"
    if path is None:
        return None
    path = path.lstrip("/")
    # A browser would follow `..` out of the server, and treats a backslash as a slash.
    parts = unquote(path.partition("?")[0]).replace("\\", "/").split("/")
    if len(path) > _MAX_LENGTH or not path.isprintable() or ".." in parts or "\\" in path:
        raise HttpError(
            422, "bad_urlpath", "urlpath must be a path on the user server, such as lab/tree/a.ipynb."
        )
    return path
