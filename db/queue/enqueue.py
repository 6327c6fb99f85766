"""From a wish for an image to a build: the one way by which a build comes to be.

A wish for what is being built joins that build, and a wish for what is there finds it: the partial unique index
`uq_build_active` decides, whatever else happens at the same moment. The caller commits.
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

_TRIES = 5


class RequestFields(TypedDict, total=False):
    """Which image is wanted, by whom, and what is known of its commit."""

    ref: Required[str]
    commit: Required[str]
    recipe: Required[str]
    trigger: Required[Trigger]
    requested_by: str | None
    pushed_at: datetime | None
    commit_title: str | None
    commit_author: str | None
    force: bool
    """Build although an image exists."""


class QueueEntry(NamedTuple):
    """A build in the queue, as far as an order of pushes goes."""

    id: int
    repository_id: int
    ref: str
    pushed_at: datetime | None


@dataclass(frozen=True)
class EnqueuedEntry:
    """The answer of `enqueue_entry`: a build unless the image exists, then the image."""

    outcome: EnqueueOutcome
    build: QueueEntry | None = None
    image: Image | None = None


@dataclass(frozen=True)
class Enqueued:
    """The answer of `enqueue`: a build unless the image exists, then the image."""

    outcome: EnqueueOutcome
    build: Build | None = None
    image: Image | None = None


class EnqueueConflict(RuntimeError):
    """Builds kept ending between two statements of `enqueue_entry`: the transaction is to be tried again."""


def enqueue(
    session: Session,
    *,
    repository: Repository | KnownRepository,
    now: datetime,
    **request: Unpack[RequestFields],
) -> Enqueued:
    """Do as `enqueue_entry`, and load the build."""
    placed = enqueue_entry(session, repository=repository, now=now, **request)
    build = session.get_one(Build, placed.build.id, populate_existing=True) if placed.build else None
    return Enqueued(placed.outcome, build, placed.image)


def enqueue_entry(
    session: Session,
    *,
    repository: Repository | KnownRepository,
    now: datetime,
    **request: Unpack[RequestFields],
) -> EnqueuedEntry:
    """Ask for the image of a commit. Creates a build, joins the active one, or finds the image there.

    A person who joins raises the build's priority, and makes it one that a newer push does not supersede. Whoever
    joins takes back a request to cancel it: its builder goes on, or has stopped already and releases it.
    """
    priority = Priority.PUSH if request["trigger"] is Trigger.PUSH else Priority.INTERACTIVE
    key: dict[str, Any] = {
        "repository_id": repository.id,
        "commit": request["commit"],
        "recipe": request["recipe"],
    }
    state = {"status": Status.QUEUED, "priority": priority, "run_after": now, "created_at": now}
    new: dict[str, Any] = {"force": False, "pushed_at": None, **request, **key, **state}
    # Each statement sees what was committed before it, so a build can end between any two of them.
    for _ in range(_TRIES):
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
    raise EnqueueConflict(f"the active build ended {_TRIES} times while it was being joined")


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
