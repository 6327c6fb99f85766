"""Read the refs that a repository's page lists, each with its head, build and newest image."""

from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Build, Image, RefHead, Repository
from db.queries import ref_images
from db.records import builds


class RefState(NamedTuple):
    """One branch or tag."""

    head: RefHead
    build: Build | None
    """The newest build of the head's commit, or else of the ref."""
    image: Image | None
    """The newest image of the ref, possibly of an older commit than the head."""


def list_ref_states(
    session: Session, repository: Repository, *, limit: int = 25
) -> tuple[list[RefState], bool]:
    """Return up to `limit` refs and whether there are more: the default branch first, then by last update."""
    default = f"refs/heads/{repository.default_branch}"
    existing = select(RefHead).where(RefHead.repository_id == repository.id, RefHead.commit.is_not(None))
    heads = session.scalars(
        existing.order_by((RefHead.ref == default).desc(), RefHead.learnt_at.desc()).limit(limit + 1)
    ).all()
    states = [
        RefState(head, _build(session, head), ref_images.newest_of_ref(session, repository.id, head.ref))
        for head in heads[:limit]
    ]
    return states, len(heads) > limit


def _build(session: Session, head: RefHead) -> Build | None:
    if head.commit and (build := builds.newest_of_commit(session, head.repository_id, head.commit)):
        return build
    of_ref = select(Build).where(Build.repository_id == head.repository_id, Build.ref == head.ref)
    return session.scalar(of_ref.order_by(Build.id.desc()).limit(1))
