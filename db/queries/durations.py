"""Read how long builds took, to estimate the next build and to compare a build with earlier ones."""

import statistics
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.columns import MAX_ID
from db.models import Build
from db.queries import history
from db.queries.history import BuildFilter
from db.queries.visibility import UNRESTRICTED
from db.status import Status

_SAMPLE_SIZE = 7


def last_successful(session: Session, repository_id: int, *, below: int = MAX_ID) -> Build | None:
    """Return the newest successful build of a repository with an id less than `below`, or None."""
    builds = history.page(session, UNRESTRICTED, _successful(repository_id), below=below, limit=1)
    return builds[0] if builds else None


def expected_duration(session: Session, repository_id: int) -> timedelta | None:
    """Return the median duration of the repository's newest successful builds, or None if there are none."""
    newest = history.page_ids(session, UNRESTRICTED, _successful(repository_id), limit=_SAMPLE_SIZE)
    columns = (Build.fetching_at, Build.started_at, Build.finished_at)
    rows = session.execute(select(*columns).where(Build.id.in_(newest))) if newest else ()
    times = [(row.fetching_at or row.started_at, row.finished_at) for row in rows]
    durations = [max(end - start, timedelta(0)) for start, end in times if start is not None]
    return statistics.median_low(durations) if durations else None


def attempt_duration(build: Build) -> timedelta | None:
    """Return the duration of a build's last attempt, or None if it did not start or has not ended."""
    started_at = build.fetching_at or build.started_at
    if started_at is None or build.finished_at is None:
        return None
    return max(build.finished_at - started_at, timedelta(0))


def _successful(repository_id: int) -> BuildFilter:
    return BuildFilter(repository_id, status=Status.SUCCEEDED)
