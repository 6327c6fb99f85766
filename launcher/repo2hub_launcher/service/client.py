"""An asynchronous client of the service: look up an image, request a build, follow its log.

The hub's event loop serves all users, so nothing here blocks it, and every request and wait has a timeout.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse

from repo2hub_launcher.service.event_stream import Event, EventParser
from repo2hub_launcher.service.records import JSON, Build, Image, ImageNotReady

LOOKUP_TIMEOUT = 20.0
"""Seconds for one request. The service itself waits at most 10 s for GitHub."""
_RECONNECT_PAUSE = 2.0


class ServiceError(Exception):
    """The service returned an error or did not answer. The text is a message for the user.

    `code` is the service's error code, such as unknown_repository, bad_ref or over_limit, or `unreachable`;
    `status` is the HTTP status, 503 if there was no response.
    """

    def __init__(self, message: str, code: str, status: int) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@dataclass(frozen=True, slots=True)
class ServiceClient:
    """The service at an address, base path included. `token` is None if the service requires none."""

    url: str
    token: str | None = None

    async def lookup(self, repository: str, ref: str) -> Image | ImageNotReady:
        """Return the image of a ref of `org/repo`, or why there is none. Raises ServiceError."""
        path = f"images/gh/{quote(repository, safe='/')}/{quote(ref, safe='/')}"
        answer = await self._fetch_json(path, accept=(404,))
        if "state" in answer:
            return ImageNotReady.from_json(answer, repository, ref)
        return Image.from_json(answer, repository, ref)

    async def request_build(self, repository: str, ref: str, *, force: bool = False) -> Image | Build:
        """Request the image of a ref of `org/repo`: return it if it exists, else its new or running build.

        Raises ServiceError, also if the user is over a limit; the message says when to try again.
        """
        answer = await self._fetch_json("builds", {"repository": repository, "ref": ref, "force": force})
        if "build" in answer:
            return Build.from_json(answer["build"])
        return Image.from_json(answer["image"], repository, ref)

    async def follow(self, build_id: int, timeout: float) -> AsyncIterator[str | Build]:
        """Yield a build's log in pieces, and the build whenever it changes; the last item is the ended build.

        A broken connection is resumed. Raises ServiceError if the service refuses the log, and TimeoutError after
        `timeout` seconds.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        last_event_id: str | None = None
        while True:
            async for event in self._events(build_id, last_event_id, deadline):
                last_event_id = event.last_event_id or last_event_id
                if event.name == "log":
                    yield str(event.data.get("text", ""))
                elif event.name == "attempt":
                    yield f"-- attempt {event.data.get('attempt')} --\n"
                elif event.name == "status":
                    yield Build.from_json(event.data)
                elif event.name == "end":
                    yield Build.from_json(await self._fetch_json(f"builds/{build_id}"))
                    return
            if asyncio.get_running_loop().time() + _RECONNECT_PAUSE > deadline:
                raise TimeoutError
            await asyncio.sleep(_RECONNECT_PAUSE)

    async def _events(
        self, build_id: int, last_event_id: str | None, deadline: float
    ) -> AsyncIterator[Event]:
        """Yield the events of one connection until it ends. Raises ServiceError if the service refuses it."""
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        is_closed = False

        def take(piece: bytes) -> None:
            if is_closed:
                raise ConnectionAbortedError  # the only way to make Tornado's client close the connection
            pieces.put_nowait(piece)

        left = deadline - asyncio.get_running_loop().time()
        # A client of its own: the shared one has ten slots, and this stream takes one for as long as the build.
        client = AsyncHTTPClient(force_instance=True)
        query = f"?after={quote(last_event_id)}" if last_event_id else ""
        request = self._request(f"builds/{build_id}/log{query}", None, max(left, 1.0))
        request.headers["Accept"] = "text/event-stream"
        request.streaming_callback = take
        fetching = asyncio.ensure_future(client.fetch(request))
        fetching.add_done_callback(lambda _: pieces.put_nowait(None))
        parser = EventParser()
        try:
            while (piece := await pieces.get()) is not None:
                for event in parser.feed(piece):
                    yield event
            _raise_if_refused(fetching)
        finally:
            is_closed = True
            fetching.cancel()
            client.close()

    async def _fetch_json(self, path: str, body: JSON | None = None, *, accept: tuple[int, ...] = ()) -> JSON:
        """Return the JSON response. Statuses in `accept` are no errors unless the response says so."""
        request = self._request(path, body, LOOKUP_TIMEOUT)
        # Not the shared client: a slow service would take all of its ten slots, and the hub's own requests,
        # such as those to its proxy, would have to wait.
        client = AsyncHTTPClient(force_instance=True)
        try:
            response = await client.fetch(request, raise_error=False)
        except Exception as exc:  # each of Tornado's clients has its own exceptions for connection errors
            raise _unreachable(str(exc) or type(exc).__name__) from exc
        finally:
            client.close()
        answer = _json(response)
        if response.code in (200, 202) or (response.code in accept and "error" not in answer):
            return answer
        raise _service_error(response.code, answer)

    def _request(self, path: str, body: JSON | None, timeout: float) -> HTTPRequest:
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        return HTTPRequest(
            f"{self.url.rstrip('/')}/api/v1/{path}",
            method="GET" if body is None else "POST",
            headers=headers,
            body=None if body is None else json.dumps(body),
            connect_timeout=min(timeout, LOOKUP_TIMEOUT),
            request_timeout=timeout,
            follow_redirects=False,
        )


def _raise_if_refused(fetching: "asyncio.Future[HTTPResponse]") -> None:
    """Raise ServiceError if the service refused the log. A broken connection is no refusal."""
    error = fetching.exception()
    # Not for 429: the user follows the maximum number of logs, until one of them ends.
    if isinstance(error, HTTPClientError) and 400 <= error.code < 500 and error.code != 429:
        raise ServiceError("The build's log is not available.", "log_refused", error.code)


def _json(response: HTTPResponse) -> JSON:
    if response.code == 599:
        raise _unreachable(str(response.error or "no response"))
    try:
        answer = json.loads(response.body or b"")
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {}


def _unreachable(reason: str) -> ServiceError:
    return ServiceError(f"The build service does not answer ({reason}). Try again soon.", "unreachable", 503)


def _service_error(status: int, answer: JSON) -> ServiceError:
    error = answer.get("error")
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return ServiceError(error["message"], str(error.get("code")), status)
    return ServiceError(f"The build service failed with HTTP status {status}.", "refused", status)
