"""Find the image of a repository and ref, as a hub asks for it before it starts a server.

An image that exists is found with one read of the database. Only a miss asks GitHub, and reads the state of
the build and an older image to fall back on.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.database import Database
from db.models import Build, Image
from db.queries import ref_images
from db.queries.lookup import LookupRow
from db.records import builds, images
from db.status import Status
from webhook.access.permissions import User
from webhook.http.errors import ResolveError
from webhook.lookup.resolve import LOOKUP_MAX_AGE, Resolved, Resolver, trusted_record
from webhook.lookup.revision import parse_ref

USE_RECORDING_INTERVAL = timedelta(hours=1)
"""The precision of an image's recorded last use."""

MissState = Literal[
    "unknown_repository",
    "unknown_ref",
    "ambiguous_commit",
    "none",
    "queued",
    "running",
    "failed",
    "cancelled",
]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Hit:
    """The image of the requested commit, built with the current recipe."""

    repository: str
    ref: str
    commit: str
    recipe: str
    image_id: int
    name: str
    digest: str | None
    built_at: datetime | None
    last_used_at: datetime | None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Miss:
    """The requested commit has no image, or the request leads to no commit.

    `state` is unknown_repository, unknown_ref or ambiguous_commit (then `resolved` is None), none, or the
    status of the commit's build: queued, running, failed, cancelled. `fallback` is an image to use instead:
    the commit's with another recipe, else the newest of the ref.
    """

    repository: str
    state: MissState
    message: str
    resolved: Resolved | None = None
    build: int | None = None
    fallback: Image | None = None


_MESSAGES = {
    "none": "This commit has no image, and no build was requested.",
    "queued": "The build is waiting for a builder.",
    "running": "The build is running.",
    "failed": "The build failed.",
    "cancelled": "The build was cancelled.",
}


class Lookup:
    """Finds images that were built with one recipe."""

    def __init__(
        self, database: Database, resolver: Resolver, recipe: str, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._resolver = resolver
        self._recipe = recipe
        self._clock = clock
        self._recorded_uses: dict[int, datetime] = {}
        self._recorded_uses_lock = threading.Lock()

    def find(
        self, full_name: str, ref: str, user: User, *, max_age: timedelta = LOOKUP_MAX_AGE
    ) -> Hit | Miss:
        """Return the image of a repository and ref, or why there is none. `max_age` is that of `Resolver.resolve`.

        A repository that `user` may not see is unknown. Raises ResolveError: bad_ref or github_unreachable.
        """
        revision = parse_ref(ref)
        rows = self._resolver.recorded(full_name, revision)
        row = trusted_record(revision, rows, now=self._clock(), max_age=max_age)
        if row is not None and self._resolver.can_see(user, rows) and (hit := self._hit(row, row.ref or "")):
            return hit
        try:
            resolved = self._resolver.resolve(full_name, revision, user, max_age=max_age, rows=rows)
        except ResolveError as exc:
            if exc.code == "github_unreachable":
                raise
            return Miss(full_name, cast(MissState, exc.code), str(exc))
        return self._find_by_commit(full_name, resolved)

    def _hit(self, row: LookupRow, ref: str, *, stale: bool = False) -> Hit | None:
        if row.image_id is None or row.image is None or row.commit is None:
            return None
        return Hit(
            repository=row.full_name,
            ref=ref,
            commit=row.commit,
            recipe=self._recipe,
            image_id=row.image_id,
            name=row.image,
            digest=row.digest,
            built_at=row.built_at,
            last_used_at=row.last_used_at,
            stale=stale,
        )

    def _find_by_commit(self, full_name: str, resolved: Resolved) -> Hit | Miss:
        rows = self._resolver.recorded(full_name, parse_ref(resolved.commit))
        if rows and (hit := self._hit(rows[0], resolved.ref, stale=resolved.stale)):
            return hit
        with self._database.read() as session:
            build = builds.newest_of_commit(session, rows[0].repository_id, resolved.commit) if rows else None
            fallback = _fallback(session, rows[0].repository_id, resolved) if rows else None
        state, message = self._state(build)
        return Miss(
            rows[0].full_name if rows else full_name,
            state,
            message,
            resolved,
            build=build.id if build is not None and state != "none" else None,
            fallback=fallback,
        )

    def _state(self, build: Build | None) -> tuple[MissState, str]:
        # The image of a successful build was removed since; a build with another recipe does not count.
        if build is None or build.recipe != self._recipe or build.status is Status.SUCCEEDED:
            return "none", _MESSAGES["none"]
        state = cast(MissState, build.status.value)
        return state, build.message or _MESSAGES[state]

    def is_use_due(self, hit: Hit) -> bool:
        """Return True once per image and USE_RECORDING_INTERVAL: then the caller records the use."""
        now = self._clock()
        if hit.last_used_at is not None and now - hit.last_used_at < USE_RECORDING_INTERVAL:
            return False
        with self._recorded_uses_lock:
            noted = self._recorded_uses.get(hit.image_id)
            if noted is not None and now - noted < USE_RECORDING_INTERVAL:
                return False
            self._recorded_uses = {
                key: at for key, at in self._recorded_uses.items() if now - at < USE_RECORDING_INTERVAL
            }
            self._recorded_uses[hit.image_id] = now
        return True

    def record_use(self, image_id: int) -> None:
        """Record that an image is in use. Never raises: the response has been sent already."""
        try:
            with self._database.write() as session:
                image = session.get(Image, image_id)
                if image is not None:
                    images.record_use(session, image, self._clock())
        except SQLAlchemyError as exc:
            log.warning("lookup.use_not_recorded", image=image_id, error=type(exc).__name__)


def _fallback(session: Session, repository_id: int, resolved: Resolved) -> Image | None:
    of_commit = images.newest_of_commit(session, repository_id, resolved.commit)
    if of_commit is not None or not resolved.ref:
        return of_commit
    return ref_images.newest_of_ref(session, repository_id, resolved.ref)
