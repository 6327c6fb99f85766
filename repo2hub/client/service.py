"""A client of the service's HTTP API. It uses nothing that a script of a user could not use."""

import re
import time
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from requests.auth import AuthBase

from repo2hub.client.event_stream import JSON, Event, json_object, parse_events, read_lines
from repo2hub.output.error_text import first_line

_TIMEOUT = (5.0, 30.0)
"""Seconds to connect, and between two bytes of a response. A log stream sends keep-alives more often than that."""
NOT_FOUND_CODES = frozenset({"unknown_repository", "unknown_ref", "unknown_build"})
"""The error codes of the service's 404 responses. A 404 with another code comes from something else."""
_RETRY_PAUSE = 1.0
_CONNECT_TIMEOUT, _RECONNECT_TIMEOUT = 10.0, 60.0
"""Seconds in which a log stream is retried: at its start, and after its last event (the service may restart)."""


class ServiceError(Exception):
    """The service returned an error: its message as text, its error code, and the HTTP status."""

    def __init__(self, message: str, code: str, status: int) -> None:
        super().__init__(message)
        self.code, self.status = code, status


def local_address(host: str, port: int | str, base_url: str) -> str:
    """Return the address at which this machine reaches a web process that listens on `host`."""
    host = host.strip("[]")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    path = base_url.strip("/")
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/{f'{path}/' if path else ''}"


def direct_session() -> requests.Session:
    """Return a session for addresses of this machine: it uses neither a proxy nor ~/.netrc."""
    session = requests.Session()
    session.trust_env = False
    return session


def root_cause(exc: requests.RequestException) -> str:
    """Return the innermost of requests' nested errors in one line; the outer ones do not state the reason."""
    innermost: BaseException = exc
    while True:
        deeper = getattr(innermost, "reason", None) or (innermost.args or (None,))[-1]
        if not isinstance(deeper, BaseException):
            break
        innermost = deeper
    return re.sub(r"^HTTPS?Connection(Pool)?\([^)]*\): ", "", first_line(innermost))


class _Bearer(AuthBase):
    """Sends the token. As an auth object, because a password in ~/.netrc would replace a header."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class ServiceClient:
    """A repo2hub service at an address, base path included.

    Every method raises ServiceError if the service returns an error, and requests.RequestException if it cannot be
    reached.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        self.address = address.rstrip("/")
        self._session = direct_session() if _is_loopback(address) else requests.Session()
        self._session.auth = _Bearer(token) if token else None

    def request_build(self, repository: str, ref: str, *, force: bool) -> JSON:
        """Request an image. The response has `outcome`, and the `build` or the `image` that exists."""
        return self._request("POST", "builds", json={"repository": repository, "ref": ref, "force": force})

    def build(self, build_id: int) -> JSON:
        """Return one build."""
        return self._request("GET", f"builds/{build_id}")

    def builds(self, **filters: str | int | None) -> list[JSON]:
        """Return builds, newest first; `filters` are those of the API."""
        parameters = {name: value for name, value in filters.items() if value is not None}
        builds: list[JSON] = self._request("GET", "builds", params=parameters)["builds"]
        return builds

    def cancel(self, build_id: int) -> JSON:
        """Cancel a queued build, or ask the builder of a running one to stop it."""
        # The service requires a JSON body for every change, because a page of another site cannot send one.
        return self._request("POST", f"builds/{build_id}/cancel", json={})

    def lookup(self, repository: str, ref: str) -> JSON:
        """Return the image of a ref, or a response with `state` that says why there is none."""
        path = f"images/gh/{quote(repository)}/{quote(ref)}"
        response = self._session.get(self._url(path), timeout=_TIMEOUT)
        body = json_object(response.content)
        if response.status_code == 404 and "state" in body:
            return body
        return _raise_for_error(response, body)

    def follow(self, build_id: int) -> Iterator[Event]:
        """Yield the events of a build until it has ended; reconnect if the connection breaks.

        `log` has `text`, `status` is the build as it is now, `attempt` starts the log of another attempt, and
        `end` is the last event.
        """
        last_event_id = ""
        deadline = time.monotonic() + _CONNECT_TIMEOUT
        while True:
            try:
                for event in self._events(build_id, last_event_id):
                    last_event_id = event.last_event_id or last_event_id
                    deadline = time.monotonic() + _RECONNECT_TIMEOUT
                    yield event
                    if event.name == "end":
                        return
            except requests.RequestException:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY_PAUSE)

    def _events(self, build_id: int, last_event_id: str) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream"} | (
            {"Last-Event-ID": last_event_id} if last_event_id else {}
        )
        url = self._url(f"builds/{build_id}/log")
        with self._session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if not response.ok:
                _raise_for_error(response, json_object(response.content))
            yield from parse_events(read_lines(response))

    def _request(self, method: str, path: str, **options: Any) -> JSON:
        response = self._session.request(method, self._url(path), timeout=_TIMEOUT, **options)
        return _raise_for_error(response, json_object(response.content))

    def _url(self, path: str) -> str:
        return f"{self.address}/api/v1/{path}"


def _raise_for_error(response: requests.Response, body: JSON) -> JSON:
    """Return the body of a successful response; raise ServiceError for any other."""
    if response.ok and body:
        return body
    error = body.get("error")
    if isinstance(error, dict) and (response.status_code != 404 or error.get("code") in NOT_FOUND_CODES):
        raise ServiceError(str(error.get("message")), str(error.get("code")), response.status_code)
    message = (
        f"{response.url} is not a repo2hub service (HTTP {response.status_code}). Set the service's address, "
        "base path included, with --server or REPO2HUB_SERVER."
    )
    # 502: what answered is not the service, which counts as not reaching it.
    raise ServiceError(message, "not_repo2hub", 502)


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
