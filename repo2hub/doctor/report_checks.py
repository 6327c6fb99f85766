"""The check of `repo2hub doctor` for reports: whether commit statuses and notifications are delivered."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from base.report_channels import GITHUB_STATUS
from base.settings import SharedSettings
from db.database import Database
from db.queue import outbox
from repo2hub.doctor.finding import Finding, ok, warning

_PROBLEM_PERIOD = timedelta(days=1)
_MAX_DELAY = timedelta(minutes=15)


def check_reports(settings: SharedSettings, now: datetime | None = None) -> Finding | None:
    """Check that reports are delivered. Return None if none are configured, or if the database check says more."""
    path = make_url(settings.database).database
    if not settings.channels or (not settings.database_url and not Path(path or "").exists()):
        return None
    database = Database(settings.database)
    try:
        return _check_outbox(settings, database, now or datetime.now(UTC))
    except SQLAlchemyError:
        return None
    finally:
        database.dispose()


def _check_outbox(settings: SharedSettings, database: Database, now: datetime) -> Finding:
    part = "reports"
    found = "commit statuses" if GITHUB_STATUS in settings.channels else "notifications"
    with database.read() as session:
        failures = [
            report
            for report in outbox.list_given_up(session)
            if (report.settled_at or now) > now - _PROBLEM_PERIOD
        ]
        oldest = outbox.oldest_pending(session)
    if failures:
        newest = failures[0]
        problem = (
            f"{len(failures)} could not be delivered in the last day, so their receivers do not know the results; "
            f"build {newest.build_id}: {newest.error}"
        )
        return warning(part, found, problem, None)
    if oldest is not None and oldest.created_at < now - _MAX_DELAY:
        problem = f"none were delivered since {oldest.created_at:%Y-%m-%d %H:%M} UTC"
        if oldest.error:
            return warning(part, found, f"{problem}: {oldest.error}", None)
        fix = "repo2hub builder  (with the same settings as the web process)"
        return warning(part, found, f"{problem}, because no builder sends them", fix)
    if settings.public_url is None:
        fix = "export REPO2HUB_PUBLIC_URL=https://<your host>"
        return warning(part, found, "without REPO2HUB_PUBLIC_URL they do not link to the build's page", fix)
    return ok(part, found)
