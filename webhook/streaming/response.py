"""The marker response by which a Flask view hands a long answer over to the server.

A view authorizes and validates, and returns a StreamedResponse. `webhook.serving` takes its body out of the WSGI
environ and sends it from a coroutine, so that an open stream costs no thread. Under any other WSGI server, and in
tests, the response is an ordinary iterable that runs the coroutine in the thread of the request.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from flask import Response
from werkzeug.wsgi import ClosingIterator

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

HANDOVER = "repo2hub.handover"
"""The key of the WSGI environ under which the server keeps a list for the response that it is to stream."""


class StreamedResponse(Response):
    """A response whose body is an asynchronous generator. `on_close` is called when it ends or is given up."""

    automatically_set_content_length = False

    def __init__(
        self, body: AsyncGenerator[bytes, None], *, on_close: Callable[[], object], **options: Any
    ) -> None:
        super().__init__(**options)
        self.body = body
        self.call_on_close(on_close)
        self.headers["X-Accel-Buffering"] = "no"  # nginx would hold lines back

    def get_app_iter(self, environ: "WSGIEnvironment") -> Iterable[bytes]:
        """Hand the body over, or return it as an iterable where the server takes no streams."""
        if environ["REQUEST_METHOD"] == "HEAD":
            return super().get_app_iter(environ)
        handover: list[StreamedResponse] | None = environ.get(HANDOVER)
        if handover is None:
            return ClosingIterator(iterate(self.body), self.close)
        handover.append(self)
        return ()


def iterate(body: AsyncGenerator[bytes, None]) -> Iterator[bytes]:
    """Run a stream's coroutine in this thread, and yield what it yields."""

    async def advance() -> bytes | None:
        return await anext(body, None)

    with asyncio.Runner() as runner:
        try:
            while (piece := runner.run(advance())) is not None:
                yield piece
        finally:
            runner.run(body.aclose())
