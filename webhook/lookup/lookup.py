"""The hub's question: which image is `org/repo` at `main`?

An image that is there is found by one read of the records. Only where that fails is anything else looked at:
GitHub, the state of the build, and an older image to fall back on.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

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
from webhook.lookup.resolve import LOOKUP_MAX_AGE, Resolved, Resolver, trusted_record
from webhook.lookup.revision import ResolveError, parse_ref

USE_RECORDING_INTERVAL = timedelta(hours=1)
"""How exactly an image's last use is recorded."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Hit:
    """The image of exactly the commit that was asked for, by this deployment's recipe."""

    repository: str
    ref: str
    commit: str
    recipe: str
    image_id: int
    image: str
    digest: str | None
    built_at: datetime | None
    last_used_at: datetime | None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Miss:
    """There is no such image, or not yet.

    `state` is unknown_repository, unknown_ref, ambiguous_commit, or that of the commit's build: none, queued,
    running, failed, cancelled. `fallback` is an image that may do: of the commit by another recipe, else the
    last good one of the ref.
    """

    repository: str
    state: str
    message: str
    ref: str | None = None
    commit: str | None = None
    build: int | None = None
    fallback: Image | None = None
    stale: bool = False
    default_branch: str | None = None
    private: bool | None = None
    """As in `Resolved`."""


_MESSAGES = {
    "none": "This commit has no image yet and no build was asked for.",
    "queued": "Its build waits for a builder.",
    "running": "It is being built.",
    "failed": "Its build failed.",
    "cancelled": "Its build was cancelled.",
}


class Lookup:
    """Answers for one deployment, whose images are made by `recipe`."""

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
        """Return the image of a repository at a ref, or why there is none; `max_age` is as for `resolve`.

        A repository that `user` may not see is an unknown one. Raises ResolveError: bad_ref or
        github_unreachable.
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
            return Miss(full_name, exc.code, str(exc))
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
            image=row.image,
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
            ref=resolved.ref,
            commit=resolved.commit,
            build=build.id if build is not None and state != "none" else None,
            fallback=fallback,
            stale=resolved.stale,
            default_branch=resolved.default_branch,
            private=resolved.private,
        )

    def _state(self, build: Build | None) -> tuple[str, str]:
        # A success without an image was cleaned up since; a build by another recipe says nothing of this one.
        if build is None or build.recipe != self._recipe or build.status is Status.SUCCEEDED:
            return "none", _MESSAGES["none"]
        return build.status.value, build.message or _MESSAGES[build.status.value]

    def is_use_due(self, hit: Hit) -> bool:
        """Say whether this use of an image is to be recorded, by whoever asks first: once in USE_STEP."""
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
        """Note that an image was asked for. Never raises: the answer is out already."""
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
