"""What deliveries and builders would have written of Org/Repo, for tests of what is answered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from db.database import Database
from db.models import Build, Repository
from db.queue import enqueue, transitions
from db.queue.transitions import BuildResult
from db.records import images, logs, refs, repositories
from db.status import Lease, Reason, Status, Trigger
from tests.conftest import COMMIT, NOW
from webhook.settings import WebSettings


@dataclass
class Clock:
    """A clock that stands where it is put."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Records:
    """Writes the records of Org/Repo, whose pushes arrive."""

    database: Database
    settings: WebSettings
    clock: Callable[[], datetime]
    _written: dict[Lease, int] = field(default_factory=dict)

    def push(self, commit: str = COMMIT, ref: str = "refs/heads/main", *, recipe: str | None = None) -> int:
        """Record a push and its build, and return the build's id."""
        with self.database.write() as session:
            repository = self.repository(session)
            at = {"pushed_at": NOW, "now": NOW}
            refs.record_push(session, repository, ref=ref, commit=commit, before=None, **at)
            made_by = recipe or self.settings.recipe()
            asked = enqueue.enqueue(
                session,
                repository=repository,
                ref=ref,
                commit=commit,
                recipe=made_by,
                trigger=Trigger.PUSH,
                now=NOW,
            )
            assert asked.build is not None
            return asked.build.id

    def repository(self, session: Any) -> Repository:
        return repositories.record(
            session, full_name="Org/Repo", provider_id=1, default_branch="main", webhook_active=True, now=NOW
        )

    def claim(self, build: int) -> Lease:
        with self.database.write() as session:
            claimed = transitions.claim(session, worker="w", now=self.clock())
        assert claimed is not None and claimed.id == build
        return Lease(build, claimed.attempt)

    def write(self, lease: Lease, *texts: str) -> None:
        """Add chunks to a running build's log."""
        first = self._written.get(lease, 0) + 1
        with self.database.write() as session:
            assert logs.append(session, lease, first_seq=first, texts=texts, now=NOW)
        self._written[lease] = first - 1 + len(texts)

    def finish(self, lease: Lease) -> str:
        """Let a running build succeed, and return its image's name."""
        with self.database.write() as session:
            row = session.get_one(Build, lease.build_id)
            name = f"repo2hub/org/repo:{row.commit}-{row.recipe}"
            recorded = {"name": name, "digest": f"sha256:{row.id}", "size": 1, "now": NOW}
            images.record(session, build=row, recipe=row.recipe, **recorded)
            ended = self.clock() + timedelta(seconds=9)
            assert transitions.finish(session, lease, BuildResult(Status.SUCCEEDED), now=ended)
        return name

    def succeed(self, build: int) -> str:
        """Let a queued build run and succeed, and return its image's name."""
        return self.finish(self.claim(build))

    def fail(self, build: int, message: str | None = "No package nunpy.", *, log: Sequence[str] = ()) -> None:
        """Let a queued build run and fail."""
        lease = self.claim(build)
        if log:
            self.write(lease, *log)
        with self.database.write() as session:
            result = BuildResult(Status.FAILED, Reason.USER_ERROR, "package_not_found", message)
            assert transitions.finish(session, lease, result, now=self.clock())
