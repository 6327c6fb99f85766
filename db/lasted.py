"""How long builds took: what one may expect of the next, and what a build is compared with."""

import statistics
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import history
from db.history import TOP, Filter
from db.models import Build
from db.status import Status
from db.visibility import ALL

_SAMPLE = 7


def last_good(session: Session, repository_id: int, *, below: int = TOP) -> Build | None:
    """Return the newest successful build of a repository that is older than the build `below`."""
    found = history.page(session, ALL, _good(repository_id), below=below, limit=1)
    return found[0] if found else None


def expected(session: Session, repository_id: int) -> timedelta | None:
    """Return how long a build takes here: the median of the last good ones; None before the first."""
    newest = history.newest_ids(session, ALL, _good(repository_id), limit=_SAMPLE)
    columns = (Build.fetching_at, Build.started_at, Build.finished_at)
    rows = session.execute(select(*columns).where(Build.id.in_(newest))) if newest else ()
    began = [(row.fetching_at or row.started_at, row.finished_at) for row in rows]
    took = [max(end - start, timedelta(0)) for start, end in began if start is not None]
    return statistics.median_low(took) if took else None


def work(build: Build) -> timedelta | None:
    """Return how long the last attempt of a build took; None where it never began or has not ended."""
    began = build.fetching_at or build.started_at
    if began is None or build.finished_at is None:
        return None
    return max(build.finished_at - began, timedelta(0))


def _good(repository_id: int) -> Filter:
    return Filter(repository_id, status=Status.SUCCEEDED)
