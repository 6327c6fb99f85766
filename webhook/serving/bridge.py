"""The ASGI application: answers each request by the Flask application in a thread, and runs its streams.

A request costs a thread only from the moment at which it has arrived whole to the moment at which its answer is
known. Deliveries have threads of their own: they never wait behind lookups that ask a git server.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Flask

from webhook.github import receiver, signature
from webhook.lookup.remote_ref_cache import MAX_WAITING
from webhook.serving.request_body import (
    BodyTimeout,
    BodyTooLarge,
    ClientDisconnected,
    Receive,
    RequestBodies,
)
from webhook.serving.thread_pool import ThreadPool
from webhook.serving.wsgi import Answer, Headers, Scope, call, make_environ, set_body
from webhook.streaming.response import StreamedResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

DELIVERY_THREADS = 16
REQUESTS_AT_ONCE = 8
REQUEST_THREADS = MAX_WAITING + 2 * REQUESTS_AT_ONCE
"""Threads for all other requests, of which MAX_WAITING may wait for git servers."""
MAX_BODY = 64 * 1024
"""Bytes of a request that is no signed delivery."""
LINGER = 2.0
"""Seconds in which the rest of a refused body is read and dropped: to close at once would take the answer away."""

Send = Callable[[dict[str, Any]], Awaitable[None]]

_CLOSE = (b"connection", b"close")
_SIGNATURE = f"HTTP_{signature.HEADER.upper().replace('-', '_')}"


class Bridge:
    """One Flask application as an ASGI application. `base` is its base path without the last slash."""

    def __init__(self, app: Flask, base: str) -> None:
        self.is_stopping = False
        """Whether each answer is the last one of its connection."""
        self._app = app
        self._delivery_path = f"{base}{receiver.ENDPOINT}"
        self._bodies = RequestBodies()
        self._delivery_threads = ThreadPool("delivery", size=DELIVERY_THREADS, at_once=DELIVERY_THREADS)
        self._request_threads = ThreadPool("request", size=REQUEST_THREADS, at_once=REQUESTS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        environ = make_environ(scope)
        body = b""
        is_whole = True
        if environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ:
            try:
                body, is_whole = await self._read_body(environ, receive)
            except ClientDisconnected:
                return
            except BodyTimeout:
                await _send(send, _timeout_answer(), [_CLOSE])
                return
        try:
            answer = await self._answer(environ)
        finally:
            self._bodies.release(body)
        if answer.stream is not None:
            await self._stream(answer, answer.stream, receive, send)
        elif is_whole:
            await _send(send, answer, [_CLOSE] if self.is_stopping else [])
        else:
            await _send_and_drain(send, receive, answer)

    async def _read_body(self, environ: "WSGIEnvironment", receive: Receive) -> tuple[bytes, bool]:
        """Read a body into the environ; return it, and whether it was read to its end.

        One that is too large is not: the application finds a length above its own limit, and refuses it.
        """
        limit = MAX_BODY
        if environ["PATH_INFO"] == self._delivery_path and signature.is_signature(environ.get(_SIGNATURE)):
            limit = receiver.MAX_BODY
        length = int(environ.get("CONTENT_LENGTH", 0))
        try:
            if length > limit:
                raise BodyTooLarge
            body = await self._bodies.read(receive, limit)
        except BodyTooLarge:
            environ["CONTENT_LENGTH"] = str(max(length, limit + 2))
            environ.pop("HTTP_TRANSFER_ENCODING", None)
            return b"", False
        set_body(environ, body)
        return body, True

    async def _answer(self, environ: "WSGIEnvironment") -> Answer:
        """Run the application in a thread, and return its answer as soon as that is known."""
        threads = (
            self._delivery_threads if environ["PATH_INFO"] == self._delivery_path else self._request_threads
        )
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        threads.submit(partial(_run, self._app, environ, loop, answer))
        return await answer

    async def _stream(self, answer: Answer, stream: StreamedResponse, receive: Receive, send: Send) -> None:
        """Send a stream until it ends or the client disconnects."""
        sending = asyncio.current_task()
        assert sending is not None  # noqa: S101 -- this is a coroutine
        is_disconnected = False

        async def watch() -> None:
            nonlocal is_disconnected
            while (await receive())["type"] != "http.disconnect":
                pass
            is_disconnected = True
            sending.cancel()

        watching = asyncio.create_task(watch())
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            async with aclosing(stream.body) as body:
                async for piece in body:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            watching.cancel()
            await send({"type": "http.response.body", "body": b""})
        except asyncio.CancelledError:
            if not is_disconnected:
                raise
        finally:
            watching.cancel()
            stream.close()


def _run(
    app: Flask,
    environ: "WSGIEnvironment",
    loop: asyncio.AbstractEventLoop,
    answer: asyncio.Future[Answer],
) -> None:
    """Answer one request in a thread. What the application does after its answer, the client does not wait for."""
    close = None
    try:
        result: Answer | BaseException
        result, close = call(app, environ)
    except BaseException as exc:  # whoever waits for the answer must get one
        result = exc
    with suppress(RuntimeError):  # the loop is closed: the process is about to exit
        loop.call_soon_threadsafe(_resolve, answer, result)
    if close is not None:
        close()


def _resolve(answer: asyncio.Future[Answer], result: Answer | BaseException) -> None:
    if answer.cancelled():
        if isinstance(result, Answer) and result.stream is not None:
            result.stream.close()
    elif isinstance(result, Answer):
        answer.set_result(result)
    else:
        answer.set_exception(result)


def _timeout_answer() -> Answer:
    message = "The body did not arrive in time. Send the request again."
    body = json.dumps({"error": {"code": "request_timeout", "message": message}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return Answer(408, headers, body, None)


async def _send(send: Send, answer: Answer, more_headers: Headers) -> None:
    await send(
        {"type": "http.response.start", "status": answer.status, "headers": answer.headers + more_headers}
    )
    await send({"type": "http.response.body", "body": answer.body})


async def _send_and_drain(send: Send, receive: Receive, answer: Answer) -> None:
    """Send an answer whose request has not arrived whole, and read on for some time before closing."""
    await send({"type": "http.response.start", "status": answer.status, "headers": [*answer.headers, _CLOSE]})
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while (await receive()).get("more_body", False):
                pass
    await send({"type": "http.response.body", "body": b""})
