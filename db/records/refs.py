"""Ref heads: the last known commit of each branch and tag."""

from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import and_, case, false, func, not_, or_, select
from sqlalchemy.orm import Session

from db.models import RefHead, Repository
from db.records.repositories import KnownRepository
from db.sql import driver
from db.sql.insert import dialect_of, insert_into


def head(session: Session, repository: Repository | KnownRepository, ref: str) -> RefHead | None:
    """Return the head of a full ref such as refs/heads/main, or None. The head of a deleted ref has no commit."""
    return session.get(RefHead, (repository.id, ref), populate_existing=True)


def is_trusted(
    learnt_at: datetime, webhook_since: datetime | None, *, now: datetime, max_age: timedelta
) -> bool:
    """Return whether a head learnt at that time can be used without asking the provider.

    While deliveries arrive, heads learnt since `webhook_since` are up to date, because every push is delivered.
    Other heads are trusted for `max_age`.
    """
    if webhook_since is not None and learnt_at >= webhook_since:
        return True
    return now - learnt_at <= max_age


def record_push(
    session: Session,
    repository: Repository | KnownRepository,
    *,
    ref: str,
    commit: str | None,
    before: str | None,
    pushed_at: datetime | None,
    now: datetime,
) -> bool:
    """Record a push. A commit of None means that the ref was deleted. Return False if a newer push is recorded.

    Deliveries arrive in any order, so GitHub's `pushed_at` decides. It has a resolution of one second: pushes
    within the same second are ordered by the commit that each replaced.
    """
    values = {"commit": commit, "previous": before, "pushed_at": pushed_at, "learnt_at": now}
    key = {"repository_id": repository.id, "ref": ref}
    statement = _push_statement(dialect_of(session))
    if driver.execute(session, statement, {**key, **values, "learnt_by": "push"}):
        return True
    return session.scalar(select(RefHead.commit).filter_by(**key)) == commit


@cache
def _push_statement(dialect: str) -> Any:
    """Build the statement that records a push unless a newer one is recorded. It returns a row if it did."""
    insert, row = insert_into(dialect, RefHead), RefHead.__table__.c
    new = insert.excluded
    is_older = or_(
        new.pushed_at < row.pushed_at,
        # The recorded push replaced the commit of the new push, and the new push did not replace the recorded
        # commit.
        and_(
            new.pushed_at == row.pushed_at,
            row.previous.is_not_distinct_from(new.commit),
            new.previous.is_distinct_from(row.commit),
        ),
    )
    return insert.on_conflict_do_update(
        index_elements=["repository_id", "ref"],
        set_={
            "commit": new.commit,
            "previous": new.previous,
            "pushed_at": func.coalesce(new.pushed_at, row.pushed_at),
            "learnt_at": new.learnt_at,
            "learnt_by": new.learnt_by,
        },
        # If one of the times is unknown, the order is unknown too, and the new push wins.
        where=not_(func.coalesce(is_older, false())),
    ).returning(row.ref)


def record_ls_remote(
    session: Session, repository: Repository, *, ref: str, commit: str | None, now: datetime
) -> None:
    """Record the provider's answer to `git ls-remote` for a ref. `now` is the time before the request was sent.

    A push recorded since then stays, because the answer may be older.
    """
    values = {"commit": commit, "learnt_at": now, "learnt_by": "ls-remote"}
    statement = _ls_remote_statement(dialect_of(session))
    session.execute(statement, {"repository_id": repository.id, "ref": ref, **values})


@cache
def _ls_remote_statement(dialect: str) -> Any:
    insert, row = insert_into(dialect, RefHead), RefHead.__table__.c
    new = insert.excluded
    return insert.on_conflict_do_update(
        index_elements=["repository_id", "ref"],
        set_={
            "commit": new.commit,
            "previous": case((row.commit.is_distinct_from(new.commit), row.commit), else_=row.previous),
            "learnt_at": new.learnt_at,
            "learnt_by": new.learnt_by,
        },
        where=row.learnt_at <= new.learnt_at,
    )


def clear_webhook_since(session: Session, repository: Repository) -> None:
    """Record that deliveries no longer arrive, so that lookups ask the provider again."""
    repository.webhook_since = None
    session.flush()
