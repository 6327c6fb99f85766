"""From an ASGI request to a WSGI environ, and from a WSGI application to a whole answer. Pure but for the call."""

import io
import sys
from collections.abc import Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from webhook.streaming.response import HANDOVER, StreamedResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

Scope = MutableMapping[str, Any]
Headers = list[tuple[bytes, bytes]]

_LOOPBACK = ("127.0.0.1", "::1")
_WITHOUT_PREFIX = {"CONTENT_TYPE", "CONTENT_LENGTH"}


class Answer(NamedTuple):
    """What the application answers: a whole body, or a stream that the server runs."""

    status: int
    headers: Headers
    body: bytes
    stream: StreamedResponse | None


def make_environ(scope: Scope) -> "WSGIEnvironment":
    """Return the environ of a request, still without a body."""
    raw_path: bytes = scope["raw_path"]
    query = scope["query_string"].decode("latin-1")
    server, client = scope["server"] or ("localhost", None), scope["client"] or ("", 0)
    path = raw_path.decode("latin-1")
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(raw_path).decode("latin-1") if "%" in path else path,
        "QUERY_STRING": query,
        "REQUEST_URI": f"{path}?{query}" if query else path,
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or ""),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    _add_headers(environ, scope["headers"])
    # A web server on this machine knows whether its client came by TLS. From anybody else it is only a claim.
    if client[0] in _LOOPBACK and environ.get("HTTP_X_FORWARDED_PROTO") == "https":
        environ["wsgi.url_scheme"] = "https"
    return environ


def _add_headers(environ: "WSGIEnvironment", headers: Iterable[tuple[bytes, bytes]]) -> None:
    for raw_name, raw_value in headers:
        if b"_" in raw_name:
            continue  # it would pass for the header that is spelled with a hyphen
        name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
        key = name if name in _WITHOUT_PREFIX else f"HTTP_{name}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value


def set_body(environ: "WSGIEnvironment", body: bytes) -> None:
    """Give the application a body that has arrived whole."""
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ.pop("HTTP_TRANSFER_ENCODING", None)


def call(app: "WSGIApplication", environ: "WSGIEnvironment") -> tuple[Answer, Callable[[], None]]:
    """Return the application's answer, and what is to be called once it is on its way."""
    handover: list[StreamedResponse] = []
    environ[HANDOVER] = handover
    started: list[tuple[int, Headers]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[..., Any]:
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        started[:] = [(int(status[:3]), encoded)]
        return _no_write

    parts = app(environ, start_response)
    body = b"".join(parts)
    status, headers = started[0]
    answer = Answer(status, headers, body, handover[0] if handover else None)
    return answer, getattr(parts, "close", _nothing)


def _nothing() -> None:
    """Close an answer that has nothing to close."""


def _no_write(_data: bytes) -> None:
    raise NotImplementedError("the application must return its body")
