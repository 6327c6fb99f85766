"""Count ended builds for the metrics, without reading all records at each scrape.

Below an id under which no new build can appear, ended builds are counted once; above it, at each scrape.
PostgreSQL does not commit in the order of ids, so a build may appear below one that was already counted. The id is
therefore one that was the newest at a moment whose writers have all finished. What was counted up to it is saved
from time to time: a process that starts goes on from there.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.database import Database
from db.queries import metrics
from db.queries.metrics import EndedCount
from db.records import builds, ended_totals
from db.records.ended_totals import EndedBuildCounts, EndedTotals

_BATCH = 100_000  # builds in one statement

_SAVE_EVERY = 500  # builds, which a process that starts counts again


class EndedBuildCounter:
    """Counts the ended builds of one database, for repeated scrapes by one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._settled: EndedBuildCounts = Counter()
        self._settled_to = 0
        self._unfinished: frozenset[int] = frozenset()
        """Builds below `_settled_to` that had not ended."""
        self._saved_to: int | None = None
        self._seen = 0  # the newest build at an earlier moment
        self._writing: frozenset[str] | None = None
        """The writers of that moment that have not finished."""

    def count(self) -> EndedBuildCounts:
        """Return the ended builds. Raises SQLAlchemyError if the database is unreachable."""
        with self._lock:
            if self._saved_to is None:
                self._load()
            upto = self._settled_limit()
            with self._database.snapshot() as session:
                active = metrics.active_ids(session)
                settled = _between(session, self._settled_to, upto)
                settled += _sum_rows(metrics.count_ended_among(session, self._unfinished - active))
                recent = _between(session, upto, builds.newest_id(session))
            self._settled += settled
            self._settled_to = upto
            self._unfinished = frozenset(build_id for build_id in active if build_id <= upto)
            self._save()
            return self._settled + recent

    def _load(self) -> None:
        with self._database.read() as session:
            self._settled_to, self._unfinished, self._settled = ended_totals.load(session)
        self._saved_to = self._settled_to

    def _save(self) -> None:
        if self._settled_to - (self._saved_to or 0) < _SAVE_EVERY:
            return
        totals = EndedTotals(self._settled_to, self._unfinished, self._settled)
        with suppress(SQLAlchemyError), self._database.write() as session:  # the next count tries again
            ended_totals.save(session, totals)
            self._saved_to = self._settled_to

    def _settled_limit(self) -> int:
        """Return the id below which a snapshot taken from now on sees all builds that will ever exist.

        Writers that start after the newest id was read get higher ids. So only the writers of that moment have to
        finish, which is checked at each count.
        """
        with self._database.read() as session:
            if self._writing is None:
                self._seen = builds.newest_id(session)
                self._writing = metrics.uncommitted_writers(session)
            elif self._writing:
                self._writing &= metrics.uncommitted_writers(session)
        if self._writing:
            return self._settled_to
        self._writing = None
        return self._seen


def _between(session: Session, after: int, upto: int) -> EndedBuildCounts:
    """Count in batches: the first count reads all builds, which exceeds the time limit of a statement."""
    found: EndedBuildCounts = Counter()
    for low in range(after, upto, _BATCH):
        found += _sum_rows(metrics.count_ended(session, after=low, upto=min(low + _BATCH, upto)))
    return found


def _sum_rows(ended: Iterable[EndedCount]) -> EndedBuildCounts:
    found: EndedBuildCounts = Counter()
    for one in ended:
        found[one.status, one.provider, one.seconds] += one.builds
    return found
