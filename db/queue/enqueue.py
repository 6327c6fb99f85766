"""Create builds. Every build is created here.

A request joins the active build of the same commit and recipe, or returns the existing image. The partial unique
index `uq_build_active` guarantees one active build for concurrent requests. The caller commits.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Required, TypedDict, Unpack

from sqlalchemy import and_, case, delete, literal, or_, update
from sqlalchemy.orm import Session

from db.database import notify_work
from db.models import IS_ACTIVE, Build, Image, Repository
from db.queue import outbox
from db.records import images
from db.records.repositories import KnownRepository
from db.sql.insert import insert_new
from db.status import EnqueueOutcome, Priority, Status, Trigger

_MAX_TRIES = 5


class RequestFields(TypedDict, total=False):
    """The requested image, who requested it, and what is known about its commit."""

    ref: Required[str]
    commit: Required[str]
    recipe: Required[str]
    trigger: Required[Trigger]
    requested_by: str | None
    pushed_at: datetime | None
    commit_title: str | None
    commit_author: str | None
    force: bool
    """Build even if the image exists."""


class QueueEntry(NamedTuple):
    """The columns of a queued build that the order of pushes needs."""

    id: int
    repository_id: int
    ref: str
    pushed_at: datetime | None


@dataclass(frozen=True)
class EnqueuedEntry:
    """The result of `enqueue_entry`: the image if it exists, otherwise the build."""

    outcome: EnqueueOutcome
    build: QueueEntry | None = None
    image: Image | None = None


@dataclass(frozen=True)
class Enqueued:
    """The result of `enqueue`: the image if it exists, otherwise the build."""

    outcome: EnqueueOutcome
    build: Build | None = None
    image: Image | None = None


class EnqueueConflict(RuntimeError):
    """Raised when builds keep ending between two statements of `enqueue_entry`: retry the transaction."""


def enqueue(
    session: Session,
    *,
    repository: Repository | KnownRepository,
    now: datetime,
    **request: Unpack[RequestFields],
) -> Enqueued:
    """Call `enqueue_entry` and load the build."""
    entry = enqueue_entry(session, repository=repository, now=now, **request)
    build = session.get_one(Build, entry.build.id, populate_existing=True) if entry.build else None
    return Enqueued(entry.outcome, build, entry.image)


def enqueue_entry(
    session: Session,
    *,
    repository: Repository | KnownRepository,
    now: datetime,
    **request: Unpack[RequestFields],
) -> EnqueuedEntry:
    """Request the image of a commit: create a build, join the active one, or return the existing image.

    When a user joins, the build gets the interactive priority, so that newer pushes no longer supersede it.
    Joining withdraws a cancel request: the builder continues, or releases the build if it has already stopped.

    Raises EnqueueConflict.
    """
    priority = Priority.PUSH if request["trigger"] is Trigger.PUSH else Priority.INTERACTIVE
    key: dict[str, Any] = {
        "repository_id": repository.id,
        "commit": request["commit"],
        "recipe": request["recipe"],
    }
    state = {"status": Status.QUEUED, "priority": priority, "run_after": now, "created_at": now}
    new: dict[str, Any] = {"force": False, "pushed_at": None, **request, **key, **state}
    # Each statement sees the commits before it, so the active build can end between any two statements.
    for _ in range(_MAX_TRIES):
        new_id = insert_new(session, Build, new, key=key, where=IS_ACTIVE)
        image = None if new["force"] else images.find(session, **key)
        if image is not None:
            if new_id is not None:
                session.execute(delete(Build).where(Build.id == new_id))
            if request["trigger"] is Trigger.PUSH:
                outbox.note_existing_image(session, image.build_id, now=now)
            return EnqueuedEntry(EnqueueOutcome.EXISTS, image=image)
        if new_id is not None:
            outbox.note(session, Status.QUEUED, [new_id], now=now)
            notify_work(session)
            return EnqueuedEntry(
                EnqueueOutcome.QUEUED, QueueEntry(new_id, repository.id, request["ref"], new["pushed_at"])
            )
        if (joined := _join(session, key, new)) is not None:
            return EnqueuedEntry(EnqueueOutcome.JOINED, joined)
    raise EnqueueConflict(f"the active build ended {_MAX_TRIES} times while it was being joined")


def _join(session: Session, key: dict[str, Any], new: dict[str, Any]) -> QueueEntry | None:
    pushed_at = literal(new["pushed_at"], Build.pushed_at.type)
    pushed_again = and_(Build.ref == new["ref"], or_(Build.pushed_at.is_(None), Build.pushed_at < pushed_at))
    row = session.execute(
        update(Build)
        .where(*(getattr(Build, column) == value for column, value in key.items()), IS_ACTIVE)
        .values(
            priority=case((Build.priority > new["priority"], new["priority"]), else_=Build.priority),
            pushed_at=case((pushed_again, pushed_at), else_=Build.pushed_at),
            force=or_(Build.force, literal(new["force"])),
            cancel_requested_at=None,
            cancelled_by=None,
        )
        .returning(Build.id, Build.repository_id, Build.ref, Build.pushed_at)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return None if row is None else QueueEntry._make(row)
