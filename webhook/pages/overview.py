"""Collect the figures of the overview for admins."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from db.queries import history, overview
from db.queries.history import BuildFilter
from db.queries.overview import EndedBuild
from db.queries.visibility import UNRESTRICTED
from db.queue import outbox
from db.records import builders, builds
from db.status import Status

DAYS = 7
_ERRORS = 8
_CAUSES = 6


class RecentBuilds(NamedTuple):
    """Figures of recent builds; cancelled ones count neither as success nor as failure."""

    ended: int
    ready: int
    failed: int
    cancelled: int
    p50: float | None
    p95: float | None
    causes: list[tuple[str, int]]

    @property
    def success(self) -> float | None:
        """Percentage of successful builds; None if there are none."""
        judged = self.ready + self.failed
        return 100 * self.ready / judged if judged else None


def collect(session: Session, now: datetime) -> dict[str, Any]:
    """Return the context of the overview template."""
    running = builds.list_running(session)
    by_worker: dict[str, list[Any]] = {}
    for build in running:
        by_worker.setdefault(build.worker or "", []).append(build)
    known = builders.list_recent(session, now)
    ended = overview.ended_since(session, now - timedelta(days=DAYS))
    failed = BuildFilter(status=Status.FAILED)
    return {
        "queue": overview.queue_depth(session),
        "builders": [(one, builders.is_alive(one, now), by_worker.pop(one.name, [])) for one in known],
        "unknown_workers": by_worker,
        "recent": summarize_builds(ended),
        "days": DAYS,
        "max_builds": overview.MAX_BUILDS,
        "stored": overview.stored_images(session),
        "undelivered_reports": outbox.list_given_up(session, limit=_ERRORS),
        "errors": history.page(session, UNRESTRICTED, failed, limit=_ERRORS),
    }


def summarize_builds(ended: Sequence[EndedBuild]) -> RecentBuilds:
    """Return the results of these builds."""
    count = Counter(one.status for one in ended)
    seconds = sorted(
        one.seconds for one in ended if one.status == Status.SUCCEEDED and one.seconds is not None
    )
    causes = Counter(one.cause or "" for one in ended if one.status == Status.FAILED)
    return RecentBuilds(
        ended=len(ended),
        ready=count[Status.SUCCEEDED],
        failed=count[Status.FAILED],
        cancelled=count[Status.CANCELLED],
        p50=percentile(seconds, 50),
        p95=percentile(seconds, 95),
        causes=causes.most_common(_CAUSES),
    )


def percentile(ascending: Sequence[float], of: int) -> float | None:
    """Return a percentile by the nearest-rank method; None for an empty sequence."""
    if not ascending:
        return None
    return ascending[max(0, math.ceil(len(ascending) * of / 100) - 1)]
