"""Ref heads: which commit a branch or tag stands at, as far as we were told."""

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
    """Return what is known of a ref, given in full (refs/heads/main); a deleted ref has no commit."""
    return session.get(RefHead, (repository.id, ref), populate_existing=True)


def is_trusted(
    learnt_at: datetime, webhook_since: datetime | None, *, now: datetime, max_age: timedelta
) -> bool:
    """Say whether a head that was learnt at that moment may be used without asking the provider.

    Where the repository's deliveries arrive, what was learnt since they do is kept right by the next push;
    anything else is trusted for `max_age`.
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
    """Note a push (commit None: the ref was deleted). False where a newer push of the ref is recorded already.

    Deliveries arrive in any order: GitHub's `pushed_at` decides, which has seconds; two pushes within one
    second are ordered by the commit that each replaced.
    """
    values = {"commit": commit, "previous": before, "pushed_at": pushed_at, "learnt_at": now}
    key = {"repository_id": repository.id, "ref": ref}
    statement = _push_statement(dialect_of(session))
    if driver.execute(session, statement, {**key, **values, "learnt_by": "push"}):
        return True
    return session.scalar(select(RefHead.commit).filter_by(**key)) == commit


@cache
def _push_statement(dialect: str) -> Any:
    """The statement that records a push unless a newer one stands there; it returns a row where it did."""
    insert, row = insert_into(dialect, RefHead), RefHead.__table__.c
    new = insert.excluded
    is_older = or_(
        new.pushed_at < row.pushed_at,
        # What stands replaced the commit of this push, and this one did not replace what stands.
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
        # Where one of the times is not known it cannot be told.
        where=not_(func.coalesce(is_older, false())),
    ).returning(row.ref)


def record_ls_remote(
    session: Session, repository: Repository, *, ref: str, commit: str | None, now: datetime
) -> None:
    """Note what the provider answered when it was asked for a ref; `now` is the moment before it was asked.

    A push that was heard of since then stays: the answer may be older than it.
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
    """Note that deliveries do not arrive any more: from now on the provider is asked again."""
    repository.webhook_since = None
    session.flush()
