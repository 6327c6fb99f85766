"""The names that images have until they are done, and the certain end of those names.

A build that is stopped may be finished by the engine all the same, a moment after nobody is left who wants it, and
a builder that is killed can take nothing back. So each name says which builder gave it, and what no living build
holds is removed: by the builder itself in its idle time, or by the next one on the same data folder.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from builder.engine.docker_client import Engine
from builder.workspace import Workspaces

TEMPORARY_REPOSITORY = "repo2hub-build"
_LATE_GRACE = 60.0  # seconds after a build was stopped in which the engine may still bring its image


def tag_prefix(key: bytes) -> str:
    """Return what begins every working name that builders on the data folder with this secret give."""
    # Builders on other data folders may share the engine: their names are theirs.
    return f"{TEMPORARY_REPOSITORY}:{hashlib.sha256(b'working names of ' + key).hexdigest()[:12]}."


class TemporaryTags:
    """Gives one builder's images their names; `key` is the secret of its data folder."""

    def __init__(
        self, workspaces: Workspaces, key: bytes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._workspaces = workspaces
        self._prefix = tag_prefix(key)
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._clock = clock
        self._late_until = clock() + _LATE_GRACE
        self._swept_at = float("-inf")

    @contextmanager
    def reserve(self, build_id: int, attempt: int) -> Iterator[str]:
        """Give a name to one attempt, which holds it for as long as the block lasts."""
        name = f"{self._prefix}{self._workspaces.name}.{build_id}-{attempt}"
        with self._lock:
            self._held.add(name)
        try:
            yield name
        except BaseException:
            self._late_until = self._clock() + _LATE_GRACE
            raise
        finally:
            with self._lock:
                self._held.discard(name)

    def needs_sweep(self) -> bool:
        """Say whether a name may be left: after the start, and after a build that did not succeed.

        It stays so until a sweep has begun when nothing can come any more, however long none was possible.
        """
        return self._swept_at < self._late_until

    def sweep(self, engine: Engine) -> list[str]:
        """Remove what nobody holds, and return it. Raises InfrastructureError."""
        begun = self._clock()
        found = engine.names(f"{self._prefix}*")
        live_builders = (
            self._workspaces.live_builders()
        )  # read after the names: who came since has none among them
        with self._lock:
            held = set(self._held)
        mine = self._workspaces.name
        left = [
            name for name in found if name not in held and (_builder_of(name) not in live_builders - {mine})
        ]
        for name in left:
            engine.remove_image(name)
        self._swept_at = begun
        return left


def _builder_of(name: str) -> str:
    return name.split(":", 1)[1].split(".")[1]
