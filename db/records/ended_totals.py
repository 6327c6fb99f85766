"""The ended builds that the metrics have counted, kept for the next process that starts.

Nothing depends on the row: without it, all builds are counted again.
"""

import json
from collections import Counter
from typing import NamedTuple

from sqlalchemy.orm import Session

from db.models import EndedTotal
from db.sql.insert import dialect_of, insert_into
from db.status import Status

EndedBuildCounts = Counter[tuple[Status, str, int | None]]
"""Ended builds by status, provider and duration in seconds; None for builds that never started."""


class EndedTotals(NamedTuple):
    """What was counted of the builds up to an id."""

    settled_to: int
    unfinished: frozenset[int]
    """The builds up to that id that had not ended."""
    counts: EndedBuildCounts


def load(session: Session) -> EndedTotals:
    """Return what was counted last; nothing, up to id 0, before the first `save`."""
    row = session.get(EndedTotal, 1)
    if row is None:
        return EndedTotals(0, frozenset(), Counter())
    counts: EndedBuildCounts = Counter()
    for status, provider, seconds, builds in json.loads(row.counts):
        counts[Status(status), provider, seconds] = builds
    return EndedTotals(row.settled_to, frozenset(json.loads(row.unfinished)), counts)


def save(session: Session, totals: EndedTotals) -> None:
    """Keep what was counted, unless another process has counted further."""
    insert, row = insert_into(dialect_of(session), EndedTotal), EndedTotal.__table__.c
    new = insert.excluded
    values = {
        "id": 1,
        "settled_to": totals.settled_to,
        "unfinished": json.dumps(sorted(totals.unfinished)),
        "counts": json.dumps([[*key, builds] for key, builds in totals.counts.items()]),
    }
    changed = {name: new[name] for name in ("settled_to", "unfinished", "counts")}
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["id"], set_=changed, where=row.settled_to < new.settled_to
        ),
        values,
    )
