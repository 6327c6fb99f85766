"""What the page of a repository shows."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db import deliveries, history, lasted, ref_states
from db.history import Filter
from db.models import Repository
from db.visibility import Sees
from webhook.chart import chart

_BUILDS = 40
_DELIVERIES = 12


def collect(session: Session, sees: Sees, repository: Repository, now: datetime) -> dict[str, Any]:
    """Read the refs, the builds with their chart, and the last deliveries."""
    wanted = Filter(repository.id)
    ended = history.page(session, sees, wanted, limit=_BUILDS)
    active, _ = history.under_way(session, sees, wanted, limit=_BUILDS)
    refs, more = ref_states.of(session, repository)
    return {
        "refs": refs,
        "more_refs": more,
        "ended": ended[:10],
        "active": active,
        "expected": {repository.id: lasted.expected(session, repository.id)},
        "chart": chart(ended),
        "deliveries": deliveries.newest(session, repository.id, limit=_DELIVERIES),
    }
