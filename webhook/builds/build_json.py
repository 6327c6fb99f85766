"""What a build and an image look like to a script or a page: plain JSON values, the same everywhere."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from db.models import Build, Image
from db.records import builds
from db.status import FINAL, Status
from webhook.builds.advice import advice
from webhook.lookup.lookup import Hit, Miss

JSON = dict[str, Any]
_Key = tuple[int, str, str]


def utc_isoformat(at: datetime | None) -> str | None:
    """Return a moment as ISO 8601 in UTC."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class BuildDescriber:
    """Describes the builds of a deployment; `root` is its base path, with a slash at its end."""

    root: str

    def build(self, session: Session, build: Build, now: datetime) -> JSON:
        """Return one build, its repository loaded, with its place in the queue."""
        found = _images(session, [build])
        return self._build(build, found, now) | {"queue_position": builds.queue_position(session, build)}

    def page(self, session: Session, page: Sequence[Build], now: datetime) -> list[JSON]:
        """Return builds for a list. The place in the queue is left out: it would cost a count for each."""
        found = _images(session, page)
        return [self._build(build, found, now) for build in page]

    def links(self, build_id: int) -> JSON:
        """Return where to go from a build."""
        this = f"{self.root}api/v1/builds/{build_id}"
        return {"self": this, "log": f"{this}/log", "cancel": f"{this}/cancel", "rebuild": f"{this}/rebuild"}

    def miss(self, miss: Miss) -> JSON:
        """Return why a lookup found no image."""
        answer = {
            "state": miss.state,
            "message": miss.message,
            "repository": miss.repository,
            "ref": miss.ref,
            "commit": miss.commit,
            "build": miss.build,
            "fallback": None if miss.fallback is None else _fallback(miss.fallback),
        }
        if miss.build is not None:
            answer["links"] = self.links(miss.build)
        return answer | ({"stale": True} if miss.stale else {})

    def _build(self, build: Build, found: Mapping[_Key, Image], now: datetime) -> JSON:
        image = found.get(_key(build)) if build.status is Status.SUCCEEDED else None
        return {
            "id": build.id,
            "repository": build.repository.full_name,
            "ref": build.ref,
            "commit": build.commit,
            "commit_title": build.commit_title,
            "commit_author": build.commit_author,
            "recipe": build.recipe,
            "trigger": build.trigger,
            "requested_by": build.requested_by,
            "force": build.force,
            "status": build.status,
            "reason": build.reason,
            "cause": build.cause,
            "message": build.message,
            "phase": build.phase,
            "attempt": build.attempt,
            "max_attempts": build.max_attempts,
            "cancel_requested": build.cancel_requested_at is not None,
            "superseded_by": build.superseded_by,
            "image": None if image is None else {"image": image.name, "digest": image.digest},
            **{name: utc_isoformat(getattr(build, name)) for name in _TIMESTAMPS},
            "durations": durations(build, now),
            "advice": None if (told := advice(build)) is None else {"who": told.who, "text": told.text},
            "links": self.links(build.id),
        }


_TIMESTAMPS = (
    "pushed_at",
    "created_at",
    "started_at",
    "fetching_at",
    "building_at",
    "pushing_at",
    "finished_at",
)


def durations(build: Build, now: datetime) -> dict[str, float]:
    """Return how long each part of a build took, or has taken until `now`, in seconds; only what has begun.

    `waiting` lasts until the first attempt starts; the phases are those of the attempt under way or the last.
    """
    end = build.finished_at or now
    lasted = {"waiting": _seconds(build.created_at, build.started_at or end)}
    moments = {
        "fetching": build.fetching_at,
        "building": build.building_at,
        "pushing": build.pushing_at,
    }
    begun = [(name, at) for name, at in moments.items() if at is not None]
    if build.status is not Status.QUEUED:  # then they are those of an attempt that is over
        # Between its claim and its first phase a build has begun nothing: then `until` is longer.
        until = [*(at for _, at in begun[1:]), end]
        lasted |= {name: _seconds(at, then) for (name, at), then in zip(begun, until, strict=False)}
    return lasted | {"total": _seconds(build.created_at, end)}


def _seconds(start: datetime, end: datetime) -> float:
    # Clocks of several hosts are never quite the same.
    return max(0.0, round((end - start).total_seconds(), 3))


def is_final(build: Build) -> bool:
    """Say whether nothing will change any more."""
    return build.status in FINAL


def hit(found: Hit) -> JSON:
    """Return the image that a lookup found."""
    answer: JSON = {
        "image": found.image,
        "digest": found.digest,
        "commit": found.commit,
        "ref": found.ref,
        "repository": found.repository,
        "recipe": found.recipe,
        "built_at": utc_isoformat(found.built_at),
        "exact": True,
    }
    return answer | ({"stale": True} if found.stale else {})


def image(found: Image, *, repository: str, ref: str) -> JSON:
    """Return an image that is there, as a lookup would."""
    return {
        "image": found.name,
        "digest": found.digest,
        "commit": found.commit,
        "ref": ref,
        "repository": repository,
        "recipe": found.recipe,
        "built_at": utc_isoformat(found.built_at),
        "exact": True,
    }


def _fallback(found: Image) -> JSON:
    return {
        "image": found.name,
        "digest": found.digest,
        "commit": found.commit,
        "recipe": found.recipe,
        "built_at": utc_isoformat(found.built_at),
        "exact": False,
    }


def _key(build: Build) -> _Key:
    return build.repository_id, build.commit, build.recipe


def _images(session: Session, of: Iterable[Build]) -> dict[_Key, Image]:
    keys = {_key(build) for build in of if build.status is Status.SUCCEEDED}
    if not keys:
        return {}
    columns = tuple_(Image.repository_id, Image.commit, Image.recipe)
    rows = session.scalars(select(Image).where(columns.in_(keys)))
    return {(row.repository_id, row.commit, row.recipe): row for row in rows}
