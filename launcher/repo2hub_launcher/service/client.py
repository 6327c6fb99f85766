"""Asking the service, from inside the hub: which image is it, build it, how far is it.

The hub's event loop serves every user, so everything here is asynchronous, and every request and every wait has a
limit. What the service answers is taken apart here; the rest of the launcher sees only the records below.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse

from repo2hub_launcher.service.event_stream import Event, EventParser

LOOKUP_TIMEOUT = 20.0
"""Seconds for one question. The service itself waits 10 s for GitHub at most."""
_RECONNECT_PAUSE = 2.0

JSON = dict[str, Any]


class ServiceError(Exception):
    """The service refused, or did not answer. Its text is a sentence for the person who asked.

    `code` is the service's word for it (such as unknown_repository, bad_ref, over_limit), `unreachable` where it
    did not answer at all; `status` is the HTTP status, 503 where there was none.
    """

    def __init__(self, message: str, code: str, status: int) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is ready. `exact` says that it is of the commit that was asked for, by today's recipe."""

    name: str
    repository: str
    ref: str
    commit: str
    built_at: str | None = None
    exact: bool = True


@dataclass(frozen=True, slots=True)
class ImageNotReady:
    """There is no image of what was asked for.

    `state` is the service's: unknown_repository, unknown_ref, ambiguous_commit, none, queued, running, failed or
    cancelled; `fallback` is the last good image of the ref.
    """

    state: str
    message: str
    commit: str | None = None
    build: int | None = None
    fallback: Image | None = None


@dataclass(frozen=True, slots=True)
class Build:
    """A build under way or ended, as the service describes it."""

    id: int
    status: str
    message: str | None
    phase: str | None
    queue_position: int | None
    image: str | None


@dataclass(frozen=True, slots=True)
class ServiceClient:
    """The service at an address (with its base path), asked with a token, or without where it asks for none."""

    url: str
    token: str | None = None

    async def lookup(self, repository: str, ref: str) -> Image | ImageNotReady:
        """Return the image of `org/repo` at a ref, or why there is none. Raises ServiceError."""
        path = f"images/gh/{quote(repository, safe='/')}/{quote(ref, safe='/')}"
        answer = await self._fetch_json(path, also=(404,))
        if "state" in answer:
            return _missing(answer, repository, ref)
        return _image(answer, repository, ref)

    async def request_build(self, repository: str, ref: str, *, force: bool = False) -> Image | Build:
        """Ask for the image of `org/repo` at a ref: the image where it is there, else its build, joined or new.

        Raises ServiceError, also where the person is over a limit; the message says when to come back.
        """
        answer = await self._fetch_json("builds", {"repository": repository, "ref": ref, "force": force})
        if "build" in answer:
            return _build(answer["build"])
        return _image(answer["image"], repository, ref)

    async def ready(self) -> list[Image]:
        """Return the newest image of each ref that has one, the newest first. Raises ServiceError."""
        answer = await self._fetch_json("images")
        return [_image(found, found["repository"], found["ref"]) for found in answer["images"]]

    async def follow(self, build_id: int, limit: float) -> AsyncIterator[str | Build]:
        """Yield a build's log from its start, piece by piece, and the build itself whenever it has changed.

        The last item is the build that has ended. A connection that breaks is taken up again where it was.
        Raises ServiceError where the service refuses, and TimeoutError after `limit` seconds.
        """
        deadline = asyncio.get_running_loop().time() + limit
        after: str | None = None
        while True:
            async for event in self._events(build_id, after, deadline):
                after = event.id or after
                if event.name == "log":
                    yield str(event.data.get("text", ""))
                elif event.name == "attempt":
                    yield f"-- attempt {event.data.get('attempt')} --\n"
                elif event.name == "status":
                    yield _build(event.data)
                elif event.name == "end":
                    yield _build(await self._fetch_json(f"builds/{build_id}"))
                    return
            if asyncio.get_running_loop().time() + _RECONNECT_PAUSE > deadline:
                raise TimeoutError
            await asyncio.sleep(_RECONNECT_PAUSE)

    async def _events(self, build_id: int, after: str | None, deadline: float) -> AsyncIterator[Event]:
        """Yield the events of one connection, until it ends for whatever reason but a refusal."""
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        gone = False

        def take(piece: bytes) -> None:
            if gone:
                raise ConnectionAbortedError  # the only way to make Tornado's client hang up
            pieces.put_nowait(piece)

        left = deadline - asyncio.get_running_loop().time()
        # A client of its own: the shared one has few places, and this one is kept for as long as a build takes.
        client = AsyncHTTPClient(force_instance=True)
        query = f"?after={quote(after)}" if after else ""
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
            gone = True
            fetching.cancel()
            client.close()

    async def _fetch_json(self, path: str, body: JSON | None = None, *, also: tuple[int, ...] = ()) -> JSON:
        """Return what the service answers, also with one of the statuses `also`."""
        request = self._request(path, body, LOOKUP_TIMEOUT)
        # Not the shared client: it has ten places, and with those taken by a slow service the hub's own questions,
        # to its proxy above all, would wait for them.
        client = AsyncHTTPClient(force_instance=True)
        try:
            answer = await client.fetch(request, raise_error=False)
        except Exception as exc:  # each of Tornado's clients has errors of its own for what is no answer
            raise _unreachable(str(exc) or type(exc).__name__) from exc
        finally:
            client.close()
        said = _json(answer)
        if answer.code in (200, 202) or (answer.code in also and "error" not in said):
            return said
        raise _service_error(answer.code, said)

    def _request(self, path: str, body: JSON | None, limit: float) -> HTTPRequest:
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
            connect_timeout=min(limit, LOOKUP_TIMEOUT),
            request_timeout=limit,
            follow_redirects=False,
        )


def _raise_if_refused(fetching: "asyncio.Future[HTTPResponse]") -> None:
    """Raise ServiceError where the service said that there is nothing to follow; a broken connection is none."""
    error = fetching.exception()
    # 429: the person follows as many logs as one may, until one of them ends.
    if isinstance(error, HTTPClientError) and 400 <= error.code < 500 and error.code != 429:
        raise ServiceError("The build's log cannot be read.", "log_refused", error.code)


def _json(answer: HTTPResponse) -> JSON:
    if answer.code == 599:
        raise _unreachable(str(answer.error or "no answer"))
    try:
        said = json.loads(answer.body or b"")
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {}


def _unreachable(why: str) -> ServiceError:
    return ServiceError(f"The build service does not answer ({why}). Try again soon.", "unreachable", 503)


def _service_error(status: int, said: JSON) -> ServiceError:
    error = said.get("error")
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return ServiceError(error["message"], str(error.get("code")), status)
    return ServiceError(f"The build service answered with HTTP status {status}.", "refused", status)


def _missing(said: JSON, repository: str, ref: str) -> ImageNotReady:
    fallback = said.get("fallback")
    return ImageNotReady(
        state=str(said["state"]),
        message=str(said.get("message") or ""),
        commit=said.get("commit"),
        build=said.get("build"),
        fallback=_image(fallback, repository, ref) if isinstance(fallback, dict) else None,
    )


def _image(said: JSON, repository: str, ref: str) -> Image:
    return Image(
        name=str(said["image"]),
        repository=str(said.get("repository") or repository),
        ref=str(said.get("ref") or ref),
        commit=str(said["commit"]),
        built_at=said.get("built_at"),
        exact=bool(said.get("exact", True)),
    )


def _build(said: JSON) -> Build:
    image = said.get("image")
    return Build(
        id=int(said["id"]),
        status=str(said["status"]),
        message=said.get("message"),
        phase=said.get("phase"),
        queue_position=said.get("queue_position"),
        image=image.get("image") if isinstance(image, dict) else None,
    )
