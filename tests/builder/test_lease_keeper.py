"""Storing an outcome while the lease can hold."""

from datetime import timedelta
from typing import Any

import pytest
import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from builder import lease_keeper
from builder.lease_keeper import write_within_lease
from db.database import Database

LOG: Any = structlog.get_logger()


@pytest.fixture(autouse=True)
def _retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_keeper, "_RETRY_INTERVAL", 0)


def failing(times: int) -> Any:
    """Return a write that fails so many times."""
    left = [times]

    def write(_session: Session) -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise OperationalError("UPDATE", {}, Exception("the database restarts"))
        return "stored"

    return write


def test_an_outcome_is_stored_when_the_database_answers_again(database: Database) -> None:
    with capture_logs() as logged:
        assert write_within_lease(database, failing(2), timedelta(minutes=1), LOG) == "stored"
    assert [(one["event"], one["error"]) for one in logged] == [
        ("lease.outcome_not_stored", "OperationalError")
    ] * 2


def test_it_gives_up_when_the_lease_has_expired(database: Database) -> None:
    assert write_within_lease(database, failing(1), timedelta(0), LOG) is None
