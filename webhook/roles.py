"""Divide the paths between two web processes, for sites that serve log streams in a process of their own.

`repo2hub web --role streams` serves BinderHub's build API and the logs of builds; `--role webhook` serves
everything else, above all deliveries. Both serve what is about a process: health, versions, metrics. A
reverse proxy chooses the process by the path. A request to the wrong process gets an error that says how to
fix the proxy: serving it would hide the mistake, and let hundreds of viewers slow down deliveries.
"""

import re

import structlog
from flask import Flask, Response, request

from webhook.binderhub.events import CONTENT_TYPE, failed
from webhook.http.errors import HttpError
from webhook.settings import Role

_STREAMS = re.compile(r"/build/(?s:.+)|/api/v1/builds/[0-9]+/log")
_BOTH = frozenset({"/health", "/versions", "/metrics", "/api/repoproviders"})
_HERE = {"webhook": "everything except log streams", "streams": "log streams only"}
_OTHER = {"webhook": "streams", "streams": "webhook"}

log = structlog.get_logger()


def serves(role: Role, path: str) -> bool:
    """Return whether a process with this role serves a path; `path` is without the base path. Pure."""
    if role == "all" or path in _BOTH:
        return True
    return (_STREAMS.fullmatch(path) is not None) is (role == "streams")


def register(app: Flask, role: Role, base: str) -> None:
    """Make the application serve the paths of its role, and answer 421 to others with the role that serves them.

    RFC 9110, 15.5.20: misdirected request. BinderHub's clients get it as a `failed` event.
    """
    if role == "all":
        return
    message = (
        f"This process serves {_HERE[role]} (--role {role}). Configure the web server to send this path to the "
        f'process with --role {_OTHER[role]}: see "Many viewers" in docs/operations.md.'
    )

    def reject_other_paths() -> Response | None:
        path = request.path
        if not path.startswith(f"{base}/") or serves(role, path.removeprefix(base)):
            return None  # no role serves anything outside the base path
        log.warning("web.wrong_role", role=role, method=request.method, path=path)
        if path.startswith(f"{base}/build/"):
            return Response(failed(message, status_code=421, code="wrong_role"), content_type=CONTENT_TYPE)
        raise HttpError(421, "wrong_role", message)

    app.before_request(reject_other_paths)
