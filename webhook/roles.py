"""Which web process answers what, where a site follows logs in a process of its own.

`repo2hub web --role streams` serves what lasts: the build API and the logs of builds. `--role webhook` serves all
else, deliveries above all. Both answer what is asked about a process: health, versions, metrics. A web server in
front tells the two apart by the path. What it sends to the wrong one is answered with what to put right, and not
served there all the same: hundreds of viewers beside the deliveries is what the split is to prevent.
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
    """Say whether a process of that role answers a path, which is without the base path. Pure."""
    if role == "all" or path in _BOTH:
        return True
    return (_STREAMS.fullmatch(path) is not None) is (role == "streams")


def register(app: Flask, role: Role, base: str) -> None:
    """Let the application answer what its role serves; all else gets a 421 that names the role to send it to.

    RFC 9110, 15.5.20: this server cannot answer for that address. BinderHub's clients get it as their `failed`.
    """
    if role == "all":
        return
    message = (
        f"This process serves {_HERE[role]} (--role {role}). Configure the web server to send this path to the "
        f'process with --role {_OTHER[role]}: see "Many viewers" in docs/operations.md.'
    )

    def turn_away() -> Response | None:
        path = request.path
        if not path.startswith(f"{base}/") or serves(role, path.removeprefix(base)):
            return None  # outside of the base path nothing is served by anybody
        log.warning("web.wrong_role", role=role, method=request.method, path=path)
        if path.startswith(f"{base}/build/"):
            return Response(failed(message, status_code=421, code="wrong_role"), content_type=CONTENT_TYPE)
        raise HttpError(421, "wrong_role", message)

    app.before_request(turn_away)
