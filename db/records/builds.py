"""Read builds for the API, the pages and the command line."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, bindparam, func, or_, select
from sqlalchemy.orm import Session, joinedload

from db.columns import MAX_ID
from db.models import IS_QUEUED, IS_RUNNING, Build, LogChunk, Repository
from db.status import HeartbeatResult, Status


def get(session: Session, build_id: int) -> Build | None:
    """Return a build with its repository, or None if the id is unknown or out of range."""
    if not 0 < build_id <= MAX_ID:
        return None
    return session.scalar(select(Build).where(Build.id == build_id).options(joinedload(Build.repository)))


def newest_of_commit(session: Session, repository_id: int, commit: str) -> Build | None:
    """Return the newest build of a commit, whatever its status, or None."""
    return session.scalar(
        select(Build)
        .where(Build.repository_id == repository_id, Build.commit == commit)
        .order_by(Build.id.desc())
        .limit(1)
    )


def count_failures(session: Session, build: Build) -> int:
    """Return how many builds of this commit and recipe failed or were cancelled since the last success.

    The build itself counts.
    """
    is_same = and_(
        Build.repository_id == build.repository_id,
        Build.commit == build.commit,
        Build.recipe == build.recipe,
    )
    success = select(func.coalesce(func.max(Build.id), 0)).where(is_same, Build.status == Status.SUCCEEDED)
    unsuccessful = Build.status.in_((Status.FAILED, Status.CANCELLED))
    counted = select(func.count()).where(is_same, unsuccessful, Build.id > success.scalar_subquery())
    return session.scalar(counted) or 0


def change_marker(session: Session, build_id: int) -> Sequence[object] | None:
    """Return values that change whenever a running build or its log changes, only for comparison.

    Return None if the build does not exist.
    """
    return session.execute(_CHANGE_MARKER, {"build_id": build_id}).one_or_none()


def _change_marker() -> Select[Any]:
    """Build the statement, once: it runs 20 times a second, and building it takes as long as running it."""
    last_seq = (
        select(func.max(LogChunk.seq))
        .where(LogChunk.build_id == Build.id, LogChunk.attempt == Build.attempt)
        .scalar_subquery()
    )
    columns = (Build.status, Build.phase, Build.attempt, Build.message, Build.cancel_requested_at, last_seq)
    return select(*columns).where(Build.id == bindparam("build_id"))


_CHANGE_MARKER = _change_marker()


def queue_position(session: Session, build: Build) -> int | None:
    """Return the position of a build in the queue, starting at 1, or None if it is not queued."""
    if build.status is not Status.QUEUED:
        return None
    ahead = or_(Build.priority < build.priority, and_(Build.priority == build.priority, Build.id < build.id))
    statement = select(func.count()).select_from(Build).where(IS_QUEUED, ahead)
    return (session.scalar(statement) or 0) + 1


def newest_id(session: Session) -> int:
    """Return the highest id of a visible build; 0 before the first."""
    return session.scalar(select(func.max(Build.id))) or 0


def list_running(session: Session, limit: int = 200) -> Sequence[Build]:
    """Return running builds with their repositories, the oldest first."""
    statement = select(Build).where(IS_RUNNING).options(joinedload(Build.repository))
    # Not in the order of ids: SQLite would then read every build instead of sorting the few that run.
    return session.scalars(statement.order_by(Build.started_at).limit(limit)).all()


def commits_with_prefix(session: Session, repository: Repository, prefix: str) -> list[str]:
    """Return up to two known commits that start with an abbreviated SHA.

    Commits of pull requests are left out: anyone can open one with a commit that has the same prefix.
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
    """Return CANCEL if a build has a cancel request, otherwise CONTINUE. Only a heartbeat detects a lost lease."""
    requested_at = session.scalar(select(Build.cancel_requested_at).where(Build.id == build_id))
    return HeartbeatResult.CONTINUE if requested_at is None else HeartbeatResult.CANCEL
