"""How long builds took: what one may expect of the next, and what a build is compared with."""

import statistics
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Build
from db.queries import history
from db.queries.history import MAX_ID, BuildFilter
from db.queries.visibility import UNRESTRICTED
from db.status import Status

_SAMPLE_SIZE = 7


def last_successful(session: Session, repository_id: int, *, below: int = MAX_ID) -> Build | None:
    """Return the newest successful build of a repository that is older than the build `below`."""
    found = history.page(session, UNRESTRICTED, _successful(repository_id), below=below, limit=1)
    return found[0] if found else None


def expected_duration(session: Session, repository_id: int) -> timedelta | None:
    """Return how long a build takes here: the median of the last good ones; None before the first."""
    newest = history.page_ids(session, UNRESTRICTED, _successful(repository_id), limit=_SAMPLE_SIZE)
    columns = (Build.fetching_at, Build.started_at, Build.finished_at)
    rows = session.execute(select(*columns).where(Build.id.in_(newest))) if newest else ()
    began = [(row.fetching_at or row.started_at, row.finished_at) for row in rows]
    took = [max(end - start, timedelta(0)) for start, end in began if start is not None]
    return statistics.median_low(took) if took else None


def attempt_duration(build: Build) -> timedelta | None:
    """Return how long the last attempt of a build took; None where it never began or has not ended."""
    began = build.fetching_at or build.started_at
    if began is None or build.finished_at is None:
        return None
    return max(build.finished_at - began, timedelta(0))


def _successful(repository_id: int) -> BuildFilter:
    return BuildFilter(repository_id, status=Status.SUCCEEDED)
