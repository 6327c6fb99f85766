"""The fields of a build that the API and the notifications share, as JSON values."""

from datetime import datetime
from typing import Annotated, overload

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from db.models import Build
from db.status import Reason, Status, Trigger

Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""A moment as ISO 8601 in UTC, such as 2026-11-23T12:00:00Z."""


class BuildFields(TypedDict):
    """A build, without what only the API adds."""

    id: int
    repository: Annotated[
        str, Field(description="`org/repo` on GitHub, or the URL of a repository on another server.")
    ]
    ref: Annotated[str, Field(description="The full ref, such as refs/heads/main; empty for a bare commit.")]
    commit: str
    commit_title: str | None
    commit_author: str | None
    recipe: Annotated[
        str, Field(description="The hash that names how images are built: a new recipe builds new images.")
    ]
    trigger: Trigger
    requested_by: str | None
    status: Status
    reason: Annotated[Reason | None, Field(description="Why the build was cancelled or failed.")]
    cause: Annotated[str | None, Field(description="What failed, as a code such as package_not_found.")]
    message: Annotated[str | None, Field(description="The cause as a sentence.")]
    attempt: int
    max_attempts: int
    superseded_by: Annotated[
        int | None, Field(description="The build of a newer push that replaced this one.")
    ]
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None


def build_fields(build: Build) -> BuildFields:
    """Return the shared fields of a build whose repository is loaded."""
    return {
        "id": build.id,
        "repository": build.repository.full_name,
        "ref": build.ref,
        "commit": build.commit,
        "commit_title": build.commit_title,
        "commit_author": build.commit_author,
        "recipe": build.recipe,
        "trigger": build.trigger,
        "requested_by": build.requested_by,
        "status": build.status,
        "reason": build.reason,
        "cause": build.cause,
        "message": build.message,
        "attempt": build.attempt,
        "max_attempts": build.max_attempts,
        "superseded_by": build.superseded_by,
        "created_at": utc_isoformat(build.created_at),
        "started_at": utc_isoformat(build.started_at),
        "finished_at": utc_isoformat(build.finished_at),
    }


@overload
def utc_isoformat(at: datetime) -> str: ...
@overload
def utc_isoformat(at: datetime | None) -> str | None: ...
def utc_isoformat(at: datetime | None) -> str | None:
    """Return a UTC datetime as ISO 8601 with a Z, or None."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")
