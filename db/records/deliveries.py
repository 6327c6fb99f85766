"""Webhook deliveries. Each is recorded once, in the same transaction as the changes it causes."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from db.models import Delivery
from db.sql import driver
from db.sql.insert import insert_new

_TABLE = Delivery.metadata.tables["delivery"]
_RECORD_OUTCOME = update(_TABLE).where(_TABLE.c.guid == bindparam("of_guid"))


def record(session: Session, *, guid: str, event: str, action: str | None, now: datetime) -> bool:
    """Record a delivery. Return False if its GUID is already recorded, as for a redelivery.

    The row stays locked until the transaction ends, so concurrent copies of a delivery are handled once.
    """
    values = {"guid": guid, "event": event[:64], "action": action and action[:64], "received_at": now}
    return insert_new(session, Delivery, values, key=["guid"]) is not None


def record_outcome(
    session: Session,
    guid: str,
    *,
    outcome: str,
    detail: str | None = None,
    repository_id: int | None = None,
    ref: str | None = None,
    commit: str | None = None,
    build_id: int | None = None,
) -> None:
    """Record the outcome of a delivery and the repository, ref, commit and build that it concerns."""
    result = {"outcome": outcome, "detail": detail, "build_id": build_id}
    subject = {"repository_id": repository_id, "ref": ref, "commit": commit}
    driver.execute(session, _RECORD_OUTCOME, {"of_guid": guid, **result, **subject})


def newest(session: Session, repository_id: int, limit: int = 20) -> Sequence[Delivery]:
    """Return the newest deliveries of a repository, newest first."""
    return session.scalars(
        select(Delivery)
        .where(Delivery.repository_id == repository_id)
        .order_by(Delivery.received_at.desc())
        .limit(limit)
    ).all()
