"""Reads of builds, for the API, the pages and the command line."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, bindparam, func, or_, select
from sqlalchemy.orm import Session, joinedload

from db.models import IS_ACTIVE, IS_QUEUED, IS_RUNNING, Build, LogChunk, Repository
from db.status import HeartbeatResult, Status

_MAX_ID = 2**63 - 1  # a larger number, which a request may well name, is an error to both databases


def get(session: Session, build_id: int) -> Build | None:
    """Return a build with its repository, or None."""
    if not 0 < build_id <= _MAX_ID:
        return None
    return session.scalar(select(Build).where(Build.id == build_id).options(joinedload(Build.repository)))


def newest_of_commit(session: Session, repository_id: int, commit: str) -> Build | None:
    """Return the newest build of a commit, whatever became of it."""
    return session.scalar(
        select(Build)
        .where(Build.repository_id == repository_id, Build.commit == commit)
        .order_by(Build.id.desc())
        .limit(1)
    )


def count_failures(session: Session, build: Build) -> int:
    """Return how many builds of a build's commit have not succeeded since one last did, itself included."""
    same = and_(
        Build.repository_id == build.repository_id,
        Build.commit == build.commit,
        Build.recipe == build.recipe,
    )
    success = select(func.coalesce(func.max(Build.id), 0)).where(same, Build.status == Status.SUCCEEDED)
    unsuccessful = Build.status.in_((Status.FAILED, Status.CANCELLED))
    counted = select(func.count()).where(same, unsuccessful, Build.id > success.scalar_subquery())
    return session.scalar(counted) or 0


def change_marker(session: Session, build_id: int) -> Sequence[object] | None:
    """Return what changes whenever a running build or its log does: to be compared, not read. None: it is gone."""
    return session.execute(_CHANGE_MARKER, {"build_id": build_id}).one_or_none()


def _change_marker() -> Select[Any]:
    """Return the statement, made once: it is asked twenty times a second, and making it takes as long."""
    last = (
        select(func.max(LogChunk.seq))
        .where(LogChunk.build_id == Build.id, LogChunk.attempt == Build.attempt)
        .scalar_subquery()
    )
    columns = (Build.status, Build.phase, Build.attempt, Build.message, Build.cancel_requested_at, last)
    return select(*columns).where(Build.id == bindparam("build_id"))


_CHANGE_MARKER = _change_marker()


def queue_position(session: Session, build: Build) -> int | None:
    """Return how many queued builds go before this one, plus one; None where it is not queued."""
    if build.status is not Status.QUEUED:
        return None
    ahead = or_(Build.priority < build.priority, and_(Build.priority == build.priority, Build.id < build.id))
    statement = select(func.count()).select_from(Build).where(IS_QUEUED, ahead)
    return (session.scalar(statement) or 0) + 1


def active(session: Session, limit: int = 100) -> Sequence[Build]:
    """Return what runs and what waits, in the order in which it will be done."""
    return session.scalars(
        select(Build)
        .where(IS_ACTIVE)
        .options(joinedload(Build.repository))
        .order_by(Build.status.desc(), Build.priority, Build.id)
        .limit(limit)
    ).all()


def list_running(session: Session, limit: int) -> Sequence[Build]:
    """Return builds that run, with their repositories."""
    statement = select(Build).where(IS_RUNNING).options(joinedload(Build.repository))
    return session.scalars(statement.order_by(Build.id).limit(limit)).all()


def commits_with_prefix(session: Session, repository: Repository, prefix: str) -> list[str]:
    """Return the known commits that an abbreviated SHA may stand for, two at most.

    None of a pull request: anybody can open one, with a commit that begins like another.
    """
    statement = (
        select(Build.commit)
        .where(Build.repository_id == repository.id, Build.commit.startswith(prefix, autoescape=True))
        .where(Build.ref.not_like("refs/pull/%"))
        .distinct()
        .limit(2)
    )
    return list(session.scalars(statement))


def cancel_requested(session: Session, build_id: int) -> HeartbeatResult:
    """Say whether somebody asked for a build to be cancelled; only a heartbeat can tell that it is lost."""
    asked = session.scalar(select(Build.cancel_requested_at).where(Build.id == build_id))
    return HeartbeatResult.CONTINUE if asked is None else HeartbeatResult.CANCEL
