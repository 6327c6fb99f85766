"""Asking a running service over its HTTP API, as any script could."""

import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from requests.auth import AuthBase

JSON = dict[str, Any]

_TIMEOUT = (5.0, 30.0)
"""Seconds to connect, and between two bytes of an answer; a log that is followed has a keep-alive below it."""
NOT_FOUND_CODES = frozenset({"unknown_repository", "unknown_ref", "unknown_build"})
"""The codes of the service's 404s; any other is of an address at which it is not."""
_RETRY_PAUSE = 1.0
_MAX_FAILURES = 10


class ServiceError(Exception):
    """The service said no: the HTTP status, its code for programs, and the message as text."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Event:
    """One server-sent event: its name, where the log stands after it, and its data, which is JSON."""

    name: str
    position: str
    data: JSON


def local_address(host: str, port: int | str, base_url: str) -> str:
    """Return the address at which this machine reaches a web process that listens on `host`."""
    host = host.strip("[]")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    path = base_url.strip("/")
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/{f'{path}/' if path else ''}"


def root_cause(exc: requests.RequestException) -> str:
    """Return the innermost cause of requests' nested errors in one line: the one that says something."""
    innermost: BaseException = exc
    while True:
        deeper = getattr(innermost, "reason", None) or (innermost.args or (None,))[-1]
        if not isinstance(deeper, BaseException):
            break
        innermost = deeper
    lines = str(innermost).strip().splitlines() or ["no reason given"]
    return re.sub(r"^HTTPS?Connection(Pool)?\([^)]*\): ", "", lines[0])[:200]


class _Bearer(AuthBase):
    """As an auth object and not as a header, which a password in ~/.netrc would replace."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class ServiceClient:
    """A repo2hub service at an address, base path included.

    Every method raises ServiceError where the service says no, and requests.RequestException where it does not
    answer.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        self.address = address.rstrip("/")
        self._session = requests.Session()
        self._session.auth = _Bearer(token) if token else None
        # A proxy is of no use for this machine itself.
        self._session.trust_env = not _is_loopback(address)

    def request_build(self, repository: str, ref: str, *, force: bool) -> JSON:
        """Ask for an image; the answer has `outcome` and a `build`, or the image that exists."""
        return self._request("POST", "builds", json={"repository": repository, "ref": ref, "force": force})

    def build(self, build_id: int) -> JSON:
        """Return one build."""
        return self._request("GET", f"builds/{build_id}")

    def builds(self, **filters: str | int | None) -> list[JSON]:
        """Return builds, newest first; `filters` are those of the API."""
        given = {name: value for name, value in filters.items() if value is not None}
        builds: list[JSON] = self._request("GET", "builds", params=given)["builds"]
        return builds

    def cancel(self, build_id: int) -> JSON:
        """Cancel a build, or ask its builder to stop it."""
        # With a body: what changes something must come as JSON, which a web page elsewhere cannot send.
        return self._request("POST", f"builds/{build_id}/cancel", json={})

    def lookup(self, repository: str, ref: str) -> JSON:
        """Return the image, or why there is none: an answer with `state` in it."""
        path = f"images/gh/{quote(repository)}/{quote(ref)}"
        answer = self._session.get(self._url(path), timeout=_TIMEOUT)
        body = _body(answer)
        if answer.status_code == 404 and "state" in body:
            return body
        return _raise_for_error(answer, body)

    def follow(self, build_id: int) -> Iterator[Event]:
        """Yield the events of a build until it has ended; a connection that breaks is mended.

        `log` has `text`, `status` is the build as it is now, `attempt` announces another attempt's log; `end`
        is the last.
        """
        position = ""
        failures = 0
        while True:
            try:
                for event in self._events(build_id, position):
                    position = event.position or position
                    failures = 0
                    yield event
                    if event.name == "end":
                        return
            except requests.RequestException:
                failures += 1
                if failures > _MAX_FAILURES:
                    raise
            time.sleep(_RETRY_PAUSE)

    def _events(self, build_id: int, position: str) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": position} if position else {})
        url = self._url(f"builds/{build_id}/log")
        with self._session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            if not answer.ok:
                _raise_for_error(answer, _body(answer))
            yield from parse_events(_lines(answer))

    def _request(self, method: str, path: str, **options: Any) -> JSON:
        answer = self._session.request(method, self._url(path), timeout=_TIMEOUT, **options)
        return _raise_for_error(answer, _body(answer))

    def _url(self, path: str) -> str:
        return f"{self.address}/api/v1/{path}"


def _lines(answer: requests.Response) -> Iterator[str]:
    """Yield the lines of an event stream, which end at \\n, \\r\\n or \\r and nowhere else.

    requests' own iter_lines also ends them at characters that may stand in a log.
    """
    rest = b""
    for piece in answer.iter_content(chunk_size=None):
        *lines, rest = (rest + piece).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")


def parse_events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of a stream, by the rules of the HTML standard's "Interpreting an event stream"."""
    name, position, data = "message", "", list[str]()
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "" if not line:
                if data:
                    yield Event(name, position, _json_object("\n".join(data)))
                name, data = "message", []
            case "event":
                name = value
            case "id":
                position = value
            case "data":
                data.append(value)


def _body(answer: requests.Response) -> JSON:
    return _json_object(answer.content)


def _json_object(text: str | bytes) -> JSON:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def _raise_for_error(answer: requests.Response, body: JSON) -> JSON:
    if answer.ok and body:
        return body
    error = body.get("error")
    if isinstance(error, dict) and (answer.status_code != 404 or error.get("code") in NOT_FOUND_CODES):
        raise ServiceError(answer.status_code, str(error.get("code")), str(error.get("message")))
    what = (
        f"{answer.url} answers with HTTP {answer.status_code}, and not as repo2hub does. Say where that is, base "
        "path included, with --server or REPO2HUB_SERVER."
    )
    # Whatever is there, it is not the service.
    raise ServiceError(502, "not_repo2hub", what)


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
