"""Tag images temporarily while they are built, and remove the tags that are left behind.

The engine may complete a build a moment after it was stopped, and a killed builder cannot clean up. So each
temporary tag names its builder, and a tag that no running build holds is removed: by the same builder when it is
idle, or by the next one on the same data folder.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from builder.engine.docker_client import Engine
from builder.workspace import Workspaces

TEMPORARY_REPOSITORY = "repo2hub-build"
_LATE_GRACE = 60.0  # seconds after a stopped build in which the engine may still complete its image


def tag_prefix(key: bytes) -> str:
    """Return the prefix of all temporary tags of builders on the data folder with this secret."""
    # Builders on other data folders may share the engine: their tags must stay.
    return f"{TEMPORARY_REPOSITORY}:{hashlib.sha256(b'working names of ' + key).hexdigest()[:12]}."


class TemporaryTags:
    """Reserves and sweeps the temporary tags of one builder; `key` is the secret of its data folder."""

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
        """Yield a temporary tag for one attempt, held until the block ends."""
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
        """Return whether tags may be left: after the start, and after a build that did not succeed.

        True until a sweep started at a time when no late image could follow.
        """
        return self._swept_at < self._late_until

    def sweep(self, engine: Engine) -> list[str]:
        """Remove the tags that no running build holds, and return them. Raises InfrastructureError."""
        begun = self._clock()
        found = engine.names(f"{self._prefix}*")
        # Read after the tags, so that a builder that starts meanwhile has none among them.
        live_builders = self._workspaces.live_builders()
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
