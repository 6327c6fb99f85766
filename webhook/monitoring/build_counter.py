"""How many builds have ended, for the metrics: read from the records, and never all of them twice.

What has ended is added up once and for all below an id under which no build can appear any more, and anew above
it. PostgreSQL gives out ids in another order than it commits in: a build may appear below one that was counted.
So that id follows behind: it is the newest of a moment all of whose writers are gone.
"""

import threading
from collections import Counter
from collections.abc import Iterable

from sqlalchemy.orm import Session

from db.database import Database
from db.queries import metrics
from db.queries.metrics import EndedCount
from db.status import Status

_BATCH = 100_000  # builds in one statement

EndedBuildCounts = Counter[tuple[Status, str, int | None]]
"""How many builds have ended, by status, provider and how many seconds they took; None: they never began."""


class EndedBuildCounter:
    """Counts the builds of one database that have ended, for a process that asks again and again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._settled: EndedBuildCounts = Counter()
        self._settled_to = 0
        self._unfinished: set[int] = set()
        """Those below `_settled_to` that had not ended."""
        self._seen = 0  # the newest build at a moment before
        self._writing: frozenset[str] | None = None
        """Who wrote when `_seen` was the newest, and writes still."""

    def count(self) -> EndedBuildCounts:
        """Return what has ended by now. Raises SQLAlchemyError where the database is away."""
        with self._lock:
            upto = self._settled_limit()
            with self._database.snapshot() as session:
                active = metrics.active_ids(session)
                settled = _between(session, self._settled_to, upto)
                settled += _sum_rows(metrics.count_ended_among(session, self._unfinished - active))
                recent = _between(session, upto, metrics.newest_id(session))
            self._settled += settled
            self._settled_to = upto
            self._unfinished = {build_id for build_id in active if build_id <= upto}
            return self._settled + recent

    def _settled_limit(self) -> int:
        """Return the id below which a snapshot that is taken from now on sees all that will ever be.

        A writer that comes after the newest id was seen draws higher ones. So those of that moment are waited for,
        from one count to the next, and nobody else.
        """
        with self._database.read() as session:
            if self._writing is None:
                self._seen = metrics.newest_id(session)
                self._writing = metrics.uncommitted_writers(session)
            elif self._writing:
                self._writing &= metrics.uncommitted_writers(session)
        if self._writing:
            return self._settled_to
        self._writing = None
        return self._seen


def _between(session: Session, after: int, upto: int) -> EndedBuildCounts:
    """Count in pieces: the first time it is all builds, which takes longer than one statement may."""
    found: EndedBuildCounts = Counter()
    for low in range(after, upto, _BATCH):
        found += _sum_rows(metrics.count_ended(session, after=low, upto=min(low + _BATCH, upto)))
    return found


def _sum_rows(ended: Iterable[EndedCount]) -> EndedBuildCounts:
    found: EndedBuildCounts = Counter()
    for one in ended:
        found[one.status, one.provider, one.seconds] += one.builds
    return found
