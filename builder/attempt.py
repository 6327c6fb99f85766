"""One attempt at one build: run it, record its progress, and record how it ended."""

from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from builder.build import BuiltImage, Job, build_image
from builder.child_process import StopSignal
from builder.context import BuilderContext
from builder.errors import InfrastructureError, Stopped, StopReason, UserError
from builder.lease_keeper import LeaseKeeper, write_within_lease
from builder.logs.build_log import BuildLog
from builder.logs.masking import MIN_SECRET, Masker
from db.database import Database
from db.log_store import LogStore
from db.models import Build
from db.queue import transitions
from db.queue.transitions import LEASE_LENGTH, BuildResult
from db.records import images
from db.status import Lease, Phase, Reason, Status

log = structlog.get_logger()


class Attempt:
    """Runs a claimed build to its end. Implements `builder.build.BuildObserver`."""

    def __init__(
        self,
        build: Build,
        context: BuilderContext,
        database: Database,
        log_store: LogStore,
        stop: StopSignal,
    ) -> None:
        self._build = build
        self._lease = Lease(build.id, build.attempt)
        self._context = context
        self._database = database
        self._log_store = log_store
        self._stop = stop
        self._job = Job(
            build_id=build.id,
            attempt=build.attempt,
            repository=build.repository.full_name,
            commit=build.commit,
            ref=build.ref,
            force=build.force,
            is_public=build.repository.private_known and not build.repository.private,
        )
        self._build_log: BuildLog | None = None
        self._log = log.bind(build=build.id, attempt=build.attempt, repository=self._job.repository)

    def run(self) -> None:
        """Run the build and record its outcome; the lease is kept until the outcome is stored."""
        self._log.info("build.claimed", commit=self._job.commit)
        masker = Masker(self._secrets())
        with LeaseKeeper(self._database, self._lease, self._stop):
            with BuildLog(self._log_store, self._lease, masker, self._mark_lost) as self._build_log:
                store_outcome = self._run_build(masker)
            outcome = write_within_lease(self._database, store_outcome, LEASE_LENGTH, self._log)
            self._log.info("build.ended", outcome=str(outcome))

    def _run_build(self, masker: Masker) -> Callable[[Session], object]:
        """Run the build and return the transition that ends the attempt."""
        try:
            built = build_image(self._job, self._context, self, self._stop)
        except UserError as exc:
            return self._end_failed(exc.reason, exc.cause, masker.mask(exc.message))
        except InfrastructureError as exc:
            return self._end_for_retry(exc.cause, masker.mask(exc.message))
        except Stopped as exc:
            return self._end_stopped(exc.stop_reason)
        except Exception:
            self._log.exception("build.internal_error")
            return self._end_for_retry(
                "internal_error", "The builder failed unexpectedly. Its log has the details."
            )
        self.write_note(f"ready: {built.name}")
        return lambda session: self._succeed(session, built)

    def _succeed(self, session: Session, built: BuiltImage) -> bool:
        now = datetime.now(UTC)
        if not transitions.finish(session, self._lease, BuildResult(Status.SUCCEEDED), now=now):
            return False
        images.record(
            session,
            build=self._build,
            # The recipe of this builder, which made the image, and not the one that was requested.
            recipe=self._context.settings.recipe(),
            name=built.name,
            digest=built.digest,
            size=built.size,
            now=now,
        )
        return True

    def _end_failed(self, reason: Reason, cause: str, message: str) -> Callable[[Session], object]:
        self.write_note(f"failed: {message}")
        result = BuildResult(Status.FAILED, reason, cause, message)
        return lambda session: transitions.finish(session, self._lease, result, now=datetime.now(UTC))

    def _end_for_retry(self, cause: str, message: str) -> Callable[[Session], object]:
        self.write_note(message)
        return lambda session: transitions.retry(
            session, self._lease, cause=cause, message=message, now=datetime.now(UTC)
        )

    def _end_stopped(self, stop_reason: StopReason) -> Callable[[Session], object]:
        if stop_reason is StopReason.LOST:
            return lambda _session: False
        is_cancelled = stop_reason is StopReason.CANCELLED
        self.write_note("cancelled" if is_cancelled else "builder stopping; the build returns to the queue")
        # Released, not finished as cancelled: a request that arrived since takes the cancellation back.
        return lambda session: transitions.release(session, self._lease, now=datetime.now(UTC))

    def _secrets(self) -> list[str]:
        settings = self._context.settings
        tokens = (
            settings.github_token,
            settings.github_status_token,
            settings.github_app_private_key,
            settings.notify_secret,
        )
        secrets = [token.get_secret_value() for token in tokens if token is not None]
        job = self._job
        cache_id = self._context.cache_id(job.repository, job.ref, job.commit)
        secrets += [self._database.url.password or "", cache_id]
        return [secret for secret in secrets if len(secret) >= MIN_SECRET]

    def _mark_lost(self) -> None:
        self._stop.set(StopReason.LOST)

    def phase(self, phase: Phase) -> None:
        """Record the build's phase. Raises Stopped where the build is to stop."""
        self._store_progress(
            lambda session: transitions.enter_phase(session, self._lease, phase, now=datetime.now(UTC))
        )
        self._stop.raise_if_set()

    def describe(self, fingerprint: str, title: str, author: str) -> None:
        """Record the commit's title and author, and the environment's fingerprint."""
        details = {"fingerprint": fingerprint, "title": title, "author": author}
        self._store_progress(lambda session: transitions.record_checkout(session, self._lease, **details))

    def _store_progress(self, statement: Callable[[Session], bool]) -> None:
        """Write once: a database that does not answer for a moment must not end a build."""
        try:
            with self._database.write() as session:
                is_held = statement(session)
        except SQLAlchemyError as exc:
            self._log.warning("build.progress_not_stored", error=str(exc)[:200])
            return
        if not is_held:
            self._mark_lost()

    def write(self, text: str) -> None:
        """Add to the build's log."""
        if self._build_log is not None:
            self._build_log.write(text)

    def write_note(self, text: str) -> None:
        """Add a line of the service's own to the build's log."""
        self.write(f"[repo2hub] {text}")
