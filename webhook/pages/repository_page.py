"""Collect what the page of a repository shows."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db.models import Repository
from db.queries import durations, history, ref_states
from db.queries.history import BuildFilter
from db.queries.visibility import ReadAccess
from db.records import deliveries
from webhook.pages.chart import chart

_BUILDS = 40
_DELIVERIES = 12


def collect(
    session: Session, read_access: ReadAccess, repository: Repository, now: datetime
) -> dict[str, Any]:
    """Return the context of the repository template: refs, builds, chart and recent deliveries."""
    wanted = BuildFilter(repository.id)
    ended = history.page(session, read_access, wanted, limit=_BUILDS)
    active, _ = history.active_builds(session, read_access, wanted, limit=_BUILDS)
    refs, more = ref_states.list_ref_states(session, repository)
    return {
        "refs": refs,
        "more_refs": more,
        "ended": ended[:10],
        "active": active,
        "expected": {repository.id: durations.expected_duration(session, repository.id)},
        "chart": chart(ended),
        "deliveries": deliveries.newest(session, repository.id, limit=_DELIVERIES),
    }
