"""Builds and images as the JSON objects of the API."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from db.models import Build, Image
from db.records import builds
from db.records.build_fields import build_fields, utc_isoformat
from db.status import Status
from webhook.builds.advice import advice
from webhook.builds.json_types import BuildJson, BuildLinks, BuildSummary, FallbackJson, ImageJson, MissJson
from webhook.lookup.find_image import Miss

_Key = tuple[int, str, str]


class ImageFields(Protocol):
    """What the JSON of an image needs: the record of an image, or a lookup's hit."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str | None: ...
    @property
    def commit(self) -> str: ...
    @property
    def recipe(self) -> str: ...
    @property
    def built_at(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class BuildDescriber:
    """Describes builds; `root` is the service's base path, with a slash at the end."""

    root: str

    def build(self, session: Session, build: Build, now: datetime) -> BuildJson:
        """Return a build whose repository is loaded."""
        summary = self._summary(build, _images(session, [build]), now)
        return {**summary, "queue_position": builds.queue_position(session, build)}

    def page(self, session: Session, page: Sequence[Build], now: datetime) -> list[BuildSummary]:
        """Return builds for a list, without their queue positions: each of them would cost a count."""
        found = _images(session, page)
        return [self._summary(build, found, now) for build in page]

    def links(self, build_id: int) -> BuildLinks:
        """Return the paths of a build's resources."""
        this = f"{self.root}api/v1/builds/{build_id}"
        return {"self": this, "log": f"{this}/log", "cancel": f"{this}/cancel", "rebuild": f"{this}/rebuild"}

    def miss(self, miss: Miss) -> MissJson:
        """Return why a lookup found no image."""
        found = miss.resolved
        answer: MissJson = {
            "state": miss.state,
            "message": miss.message,
            "repository": miss.repository,
            "ref": None if found is None else found.ref,
            "commit": None if found is None else found.commit,
            "build": miss.build,
            "fallback": None if miss.fallback is None else _image_json(miss.fallback, exact=False),
        }
        if miss.build is not None:
            answer["links"] = self.links(miss.build)
        if found and found.stale:
            answer["stale"] = True
        return answer

    def _summary(self, build: Build, images: Mapping[_Key, Image], now: datetime) -> BuildSummary:
        image = images.get(_key(build)) if build.status is Status.SUCCEEDED else None
        hint = advice(build)
        return {
            **build_fields(build),
            "force": build.force,
            "phase": build.phase,
            "cancel_requested": build.cancel_requested_at is not None,
            "image": None if image is None else {"image": image.name, "digest": image.digest},
            "pushed_at": utc_isoformat(build.pushed_at),
            "fetching_at": utc_isoformat(build.fetching_at),
            "building_at": utc_isoformat(build.building_at),
            "pushing_at": utc_isoformat(build.pushing_at),
            "durations": durations(build, now),
            "advice": None if hint is None else {"who": hint.who, "text": hint.text},
            "links": self.links(build.id),
        }


def image_json(image: ImageFields, *, repository: str, ref: str, stale: bool = False) -> ImageJson:
    """Return the image of a repository and ref."""
    # mypy cannot rule out that the shared fields include `stale`.
    answer: ImageJson = {**_image_json(image, exact=True), "ref": ref, "repository": repository}  # type: ignore[typeddict-item]
    if stale:
        answer["stale"] = True
    return answer


def _image_json(image: ImageFields, *, exact: bool) -> FallbackJson:
    return {
        "image": image.name,
        "digest": image.digest,
        "commit": image.commit,
        "recipe": image.recipe,
        "built_at": utc_isoformat(image.built_at),
        "exact": exact,
    }


def durations(build: Build, now: datetime) -> dict[str, float]:
    """Return the seconds that each part of a build took, or has taken until `now`; only of parts that have begun.

    `waiting` ends when the first attempt starts; the phases are those of the current or the last attempt.
    """
    end = build.finished_at or now
    seconds = {"waiting": _seconds(build.created_at, build.started_at or end)}
    moments = {
        "fetching": build.fetching_at,
        "building": build.building_at,
        "pushing": build.pushing_at,
    }
    begun = [(name, at) for name, at in moments.items() if at is not None]
    if build.status is not Status.QUEUED:  # a queued build's phases are those of an attempt that has ended
        # Between its claim and its first phase, a build has begun no phase and `ends` is the longer list.
        ends = [*(at for _, at in begun[1:]), end]
        seconds |= {name: _seconds(at, until) for (name, at), until in zip(begun, ends, strict=False)}
    return seconds | {"total": _seconds(build.created_at, end)}


def _seconds(start: datetime, end: datetime) -> float:
    # Never negative: the clocks of several hosts differ slightly.
    return max(0.0, round((end - start).total_seconds(), 3))


def _key(build: Build) -> _Key:
    return build.repository_id, build.commit, build.recipe


def _images(session: Session, of: Iterable[Build]) -> dict[_Key, Image]:
    ids = [build.id for build in of if build.status is Status.SUCCEEDED]
    if not ids:
        return {}
    # A join instead of a list of keys, for which SQLite would read all images.
    same = (
        Image.repository_id == Build.repository_id,
        Image.commit == Build.commit,
        Image.recipe == Build.recipe,
    )
    rows = session.scalars(select(Image).join(Build, and_(*same)).where(Build.id.in_(ids)))
    return {(row.repository_id, row.commit, row.recipe): row for row in rows}
