"""Read the status that a badge shows for a ref.

Everyone who views a README requests a badge, so the read is one statement. It extends the statement of a lookup by
the newest entry of the index `ix_build_commit`, so its cost does not depend on the number of builds.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import bindparam, literal_column, select

from base.repository_names import GITHUB
from db.database import Database
from db.models import Build, Image, RefHead, Repository
from db.queries import lookup
from db.sql import driver
from db.status import Status


class BadgeStatus(StrEnum):
    """The status that a badge shows."""

    READY = "ready"
    """The commit has an image."""
    BUILDING = "building"
    """The commit has no image, and its build is queued or running."""
    FAILED = "failed"
    """The commit has no image, and its newest build failed."""
    NONE = "none"
    """Anything else: unknown, never built, cancelled, or built with another recipe."""


class RefBadge(NamedTuple):
    """The badge status of a ref, and the repository's visibility to decide who can see it."""

    full_name: str
    private: bool
    private_known: bool
    ref: str | None
    commit: str | None
    """None if the ref is not recorded or was deleted."""
    badge_status: BadgeStatus


_OF_STATUS = {
    Status.QUEUED: BadgeStatus.BUILDING,
    Status.RUNNING: BadgeStatus.BUILDING,
    Status.FAILED: BadgeStatus.FAILED,
}


def _columns(ref: Any, commit: Any, _learnt_at: Any) -> tuple[Any, ...]:
    last_status = (
        select(Build.status)
        .where(Build.repository_id == Repository.id, Build.commit == commit)
        .where(Build.recipe == bindparam("recipe"))
        .order_by(Build.id.desc())
        # Both are part of the text: PostgreSQL plans for a known limit, and SQLite's dialect would bind an offset.
        .limit(literal_column("1"))
        .offset(literal_column("0"))
        .correlate(Repository, RefHead)
        .scalar_subquery()
    )
    repository = (Repository.full_name, Repository.private, Repository.private_known)
    return (*repository, ref, commit, Image.id, last_status)


def _ref_badge(row: driver.Row) -> RefBadge:
    *columns, image_id, last_status = row
    return RefBadge._make([*columns, _badge_status(image_id, last_status)])


def _badge_status(image_id: int | None, last_status: Status | None) -> BadgeStatus:
    if image_id is not None:
        return BadgeStatus.READY
    return BadgeStatus.NONE if last_status is None else _OF_STATUS.get(last_status, BadgeStatus.NONE)


_read = lookup.LookupQuery(_columns, _ref_badge)


def find(
    database: Database, full_name: str, recipe: str, *, commit: str | None, refs: Sequence[str]
) -> RefBadge | None:
    """Return the badge of a commit, or of the first of these full refs with a commit, or of the default branch.

    Return None if the repository is unknown or not on GitHub.
    """
    badges = _read(database, GITHUB, full_name, recipe, commit=commit, refs=refs)
    known = {badge.ref: badge for badge in badges if badge.commit}
    return next((known[ref] for ref in refs if ref in known), badges[0] if badges else None)
