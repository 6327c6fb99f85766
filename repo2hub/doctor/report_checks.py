"""What `repo2hub doctor` says of commit statuses and notifications: whether they reach whom they are for."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from base.report_channels import GITHUB_STATUS
from base.settings import SharedSettings
from db.database import Database
from db.queue import outbox
from repo2hub.doctor.machine_checks import Finding, ok, warning

_PROBLEM_PERIOD = timedelta(days=1)
_MAX_DELAY = timedelta(minutes=15)


def check_reports(settings: SharedSettings, now: datetime | None = None) -> Finding | None:
    """Say whether what is told of builds arrives; None where nobody is told, or the database says more itself."""
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
    told = "statuses on commits" if GITHUB_STATUS in settings.channels else "notifications"
    with database.read() as session:
        problems = [
            one for one in outbox.list_given_up(session) if (one.settled_at or now) > now - _PROBLEM_PERIOD
        ]
        oldest = outbox.oldest_pending(session)
    if problems:
        newest = problems[0]
        problem = (
            f"{len(problems)} could not be told since yesterday; build {newest.build_id}: {newest.error}"
        )
        return warning(part, told, problem, None)
    if oldest is not None and oldest.created_at < now - _MAX_DELAY:
        why = oldest.error or "does a builder run, with the same settings?"
        return warning(part, told, f"waiting since {oldest.created_at:%Y-%m-%d %H:%M} UTC: {why}", None)
    if settings.public_url is None:
        fix = "export REPO2HUB_PUBLIC_URL=https://<your host>"
        return warning(part, told, "they link to no page, since the service has no address", fix)
    return ok(part, told)
