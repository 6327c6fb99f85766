"""How a ref stands, in one word: the one read behind a badge.

A badge is asked for by everybody who looks at a README, so it is one statement, a lookup's, and reads the end of
`ix_build_commit` besides, however long the history is.
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
    """What a badge says."""

    READY = "ready"
    """The ref's commit has its image."""
    BUILDING = "building"
    """It has none, and its build waits or runs."""
    FAILED = "failed"
    """It has none, and its last build failed."""
    NONE = "none"
    """There is nothing to tell: not known, never built, cancelled, made by another recipe."""


class RefBadge(NamedTuple):
    """How one of the refs asked for stands, and what tells who may know it."""

    full_name: str
    private: bool
    private_known: bool
    ref: str | None
    commit: str | None
    """None where the ref is not recorded or was deleted."""
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
        # Both in the text: PostgreSQL plans for a limit that it knows. SQLite's dialect would bind an offset.
        .limit(literal_column("1"))
        .offset(literal_column("0"))
        .correlate(Repository, RefHead)
        .scalar_subquery()
    )
    repository = (Repository.full_name, Repository.private, Repository.private_known)
    return (*repository, ref, commit, Image.id, last_status)


def _ref_badge(row: driver.Row) -> RefBadge:
    *of, image_id, last_status = row
    return RefBadge._make([*of, _badge_status(image_id, last_status)])


def _badge_status(image_id: int | None, last_status: Status | None) -> BadgeStatus:
    if image_id is not None:
        return BadgeStatus.READY
    return BadgeStatus.NONE if last_status is None else _OF_STATUS.get(last_status, BadgeStatus.NONE)


_read = lookup.LookupQuery(_columns, _ref_badge)


def find(
    database: Database, full_name: str, recipe: str, *, commit: str | None, refs: Sequence[str]
) -> RefBadge | None:
    """Return how a commit stands, else the first of these full refs that stands at one, else the default branch.

    None for a repository that is unknown, or not at GitHub.
    """
    found = _read(database, GITHUB, full_name, recipe, commit=commit, refs=refs)
    known = {one.ref: one for one in found if one.commit}
    return next((known[ref] for ref in refs if ref in known), found[0] if found else None)
