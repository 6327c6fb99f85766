"""The outbox of reports: written in the transaction that changes a build, sent later.

Every transition in `db.queue.transitions` calls `note`, so no report is lost if the process or GitHub fails.
Builders send the reports in `builder.reports.dispatch`, independently of builds. A change costs one INSERT per
channel, and none without channels.

Each channel sends the reports of a commit one at a time and in order. On GitHub a status replaces the previous
one, so only the newest is sent. If a builder dies while it sends a report, the report is sent again: receivers
must tolerate duplicates (see `builder.reports.commit_status`).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Insert,
    Select,
    String,
    and_,
    bindparam,
    delete,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session, aliased

from base.report_channels import GITHUB_STATUS
from db.columns import Base, UtcDateTime
from db.database import CHANNELS_KEY
from db.models import Build, Repository
from db.report_model import IS_DUE, IS_GIVEN_UP, Report
from db.status import Reason, Status

LEASE_LENGTH = timedelta(seconds=90)
"""How long a builder may take to send one report."""

RETRY_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (10, 30, 60, 120, 300, 600, 1800))
"""The delay before a report is sent again, by the number of failed tries."""

GIVE_UP_AFTER = timedelta(days=1)
"""The age at which a report that cannot be sent is given up."""

KEPT_FOR = timedelta(days=7)
"""How long settled reports are kept, and unsent reports of channels that no builder serves."""

BATCH = 1000
"""The maximum number of reports that `remove_settled` removes at once."""

_BUILD = Base.metadata.tables[Build.__tablename__]
_REPOSITORY = Base.metadata.tables[Repository.__tablename__]
_REPORT = Base.metadata.tables[Report.__tablename__]


class ReportLease(NamedTuple):
    """Proof that a builder owns a report: updates apply only while `tries` is unchanged."""

    report_id: int
    tries: int


def note(session: Session, status: Status, build_ids: Sequence[int], *, now: datetime) -> None:
    """Add reports that these builds changed to `status`, one for each configured channel.

    GitHub gets no report of a started build, because its commit status stays pending. It also gets none for
    repositories without a webhook: their owners did not ask for reports.
    """
    for channel in session.info.get(CHANNELS_KEY, ()):
        if not build_ids or (channel == GITHUB_STATUS and status is Status.RUNNING):
            continue
        statement = _NOTE_STATUS if channel == GITHUB_STATUS else _NOTE
        session.execute(statement, {"ids": list(build_ids), "channel": channel, "now": now})


def note_existing_image(session: Session, build_id: int, *, now: datetime) -> None:
    """Add a report for GitHub that a pushed commit already has an image, which this build made.

    The commit may already have the status, so the report starts with one try: before a retry, the builder checks
    what GitHub shows. Other channels get no report because the build did not change.
    """
    if GITHUB_STATUS in session.info.get(CHANNELS_KEY, ()):
        session.execute(_NOTE_EXISTING_IMAGE, {"ids": [build_id], "channel": GITHUB_STATUS, "now": now})


def is_due(session: Session, channel: str, *, now: datetime) -> bool:
    """Return whether a report is due. Reads only, so builders can poll it."""
    found = session.scalar(_IS_DUE_NOW, {"channel": channel, "now": now})
    return found is not None


def claim(session: Session, channel: str, *, now: datetime) -> Report | None:
    """Claim the report that has been due the longest, for LEASE_LENGTH. Return None if no report is due.

    Atomic for any number of builders. `tries` of the returned report is the fencing token for later updates.
    """
    if channel == GITHUB_STATUS:
        _overtake(session, now)
    report, older = aliased(Report, name="this"), aliased(Report, name="older")
    is_next = ~(
        select(older.id)
        .where(_is_same_commit(older, report), older.due_at.is_not(None), older.id < report.id)
        .exists()
    )
    next_id = (
        select(report.id)
        .where(report.channel == channel, report.due_at <= now, report.due_at.is_not(None), is_next)
        .order_by(report.due_at, report.id)
        .limit(1)
        .with_for_update(skip_locked=True, key_share=True)
        .scalar_subquery()
    )
    claimed = {
        "tries": Report.tries + 1,
        "due_at": now + LEASE_LENGTH,
        "lease_expires_at": now + LEASE_LENGTH,
    }
    return session.scalar(
        update(Report)
        .where(Report.id == next_id, Report.due_at <= now)
        .values(**claimed)
        .returning(Report)
        .execution_options(populate_existing=True, synchronize_session=False)
    )


def mark_delivered(session: Session, lease: ReportLease, *, now: datetime) -> bool:
    """Mark a report as delivered. Return False if the lease is lost."""
    return _settle(session, _is_held(lease), now=now, outcome="delivered", error=None) > 0


def give_up(session: Session, lease: ReportLease, error: str, *, now: datetime) -> bool:
    """Mark a report as given up, with the error for admins. Return False if the lease is lost."""
    return _settle(session, _is_held(lease), now=now, outcome="gave_up", error=error) > 0


def reschedule(session: Session, lease: ReportLease, error: str, *, until: datetime) -> bool:
    """Postpone a report until the given time, with the error. Return False if the lease is lost."""
    values = {"due_at": until, "lease_expires_at": None, "error": error}
    return _change(session, _is_held(lease), values) > 0


def list_given_up(session: Session, limit: int = 20) -> Sequence[Report]:
    """Return the reports that were given up, newest first."""
    return session.scalars(
        select(Report).where(IS_GIVEN_UP).order_by(Report.settled_at.desc()).limit(limit)
    ).all()


def oldest_pending(session: Session) -> Report | None:
    """Return the oldest report that is not settled, or None."""
    return session.scalar(select(Report).where(IS_DUE).order_by(Report.id).limit(1))


def remove_settled(session: Session, *, now: datetime) -> int:
    """Remove up to BATCH reports that were settled more than KEPT_FOR ago. Return how many were removed.

    Also give up unsent reports of that age, because no builder serves their channel any more.
    """
    abandoned = and_(IS_DUE, Report.created_at < now - KEPT_FOR, _is_unleased(Report.lease_expires_at, now))
    error = "not sent for a week: check that a builder runs and that this channel is configured there"
    _settle(session, abandoned, now=now, outcome="gave_up", error=error)
    old = select(Report.id).where(Report.settled_at < now - KEPT_FOR).order_by(Report.settled_at).limit(BATCH)
    result = session.execute(delete(Report).where(Report.id.in_(old.scalar_subquery())))
    assert isinstance(result, CursorResult)  # noqa: S101 -- a DELETE always gives one
    return result.rowcount


def _overtake(session: Session, now: datetime) -> None:
    """Settle reports that a newer report of the same commit replaces, unless they are being sent right now."""
    this, newer = aliased(Report, name="this"), aliased(Report, name="newer")
    is_replaced = select(newer.id).where(
        _is_same_commit(newer, this), newer.due_at.is_not(None), newer.id > this.id
    )
    overtaken = (
        select(this.id)
        .where(
            this.channel == GITHUB_STATUS, this.due_at.is_not(None), _is_unleased(this.lease_expires_at, now)
        )
        .where(is_replaced.exists())
        .order_by(this.id)
        .with_for_update(skip_locked=True, key_share=True)
    )
    _settle(session, Report.id.in_(overtaken), now=now, outcome="overtaken")


def _is_same_commit(report: Any, other: Any) -> ColumnElement[bool]:
    return and_(
        report.channel == other.channel,
        report.repository_id == other.repository_id,
        report.commit == other.commit,
    )


def _is_unleased(lease_expires_at: Any, now: datetime) -> ColumnElement[bool]:
    return or_(lease_expires_at.is_(None), lease_expires_at < now)


def _is_held(lease: ReportLease) -> ColumnElement[bool]:
    return and_(
        Report.id == lease.report_id, Report.tries == lease.tries, Report.lease_expires_at.is_not(None)
    )


def _settle(session: Session, condition: ColumnElement[bool], *, now: datetime, **values: Any) -> int:
    settled = {"settled_at": now, "due_at": None, "lease_expires_at": None}
    return _change(session, condition, {**settled, **values})


def _change(session: Session, condition: ColumnElement[bool], values: dict[str, Any]) -> int:
    statement = update(Report).where(condition).values(**values)
    result = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)  # noqa: S101 -- an UPDATE always gives one
    return result.rowcount


def _note_statement(conditions: Iterable[ColumnElement[bool]], tries: int = 0) -> Insert:
    now = bindparam("now", type_=UtcDateTime())
    copied = ("id", "repository_id", "commit", "status", "reason", "cause", "message", "attempt")
    reports: Select[Any] = (
        select(
            *(_BUILD.c[name] for name in copied),
            bindparam("channel", type_=String()),
            now.label("created_at"),
            now.label("due_at"),
            literal(tries).label("tries"),
        )
        .join_from(_BUILD, _REPOSITORY, _BUILD.c.repository_id == _REPOSITORY.c.id)
        .where(_BUILD.c.id.in_(bindparam("ids", expanding=True)), *conditions)
        .order_by(_BUILD.c.id)
    )
    columns = ["build_id", *copied[1:], "channel", "created_at", "due_at", "tries"]
    return insert(_REPORT).from_select(columns, reports, include_defaults=False)


_NOTE = _note_statement(())
_REPORTS_TO_GITHUB = (
    _REPOSITORY.c.webhook_since.is_not(None),
    _REPOSITORY.c.enabled,
    _BUILD.c.reason.is_distinct_from(Reason.REPOSITORY_GONE),
)
_NOTE_STATUS = _note_statement(_REPORTS_TO_GITHUB)
_NOTE_EXISTING_IMAGE = _note_statement((*_REPORTS_TO_GITHUB, _BUILD.c.status == Status.SUCCEEDED), tries=1)
_IS_DUE_NOW = (
    select(_REPORT.c.id)
    .where(IS_DUE, _REPORT.c.channel == bindparam("channel"), _REPORT.c.due_at <= bindparam("now"))
    .limit(1)
)
