"""The loop: reap, claim, build, finish. As many builds at once as there are slots, each in a thread."""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from builder.build import BuilderContext, BuiltImage, Job, build
from builder.child_process import StopSignal
from builder.engine import memory_limit
from builder.engine.docker_client import Engine
from builder.errors import InfrastructureError, Stopped, StopReason, UserError
from builder.housekeeping import Housekeeping
from builder.lease import LeaseKeeper
from builder.logs.build_log import BuildLog
from builder.logs.output import MIN_SECRET, Masker
from builder.presence import Presence
from builder.reports.dispatch import ReportDispatcher
from builder.settings import BuilderSettings
from db.database import Database
from db.models import Build
from db.queue import transitions
from db.queue.transitions import LEASE_LENGTH, BuildResult
from db.records import builds, images
from db.status import Lease, Phase, Reason, Status

log = structlog.get_logger()

_POLL = 5.0  # seconds between two looks at the queue, should a call get lost
_REAP_EVERY = 10.0  # seconds
_ENGINE_GRACE = 0.5  # seconds in which the engine ends what it was told to stop, or finishes it
_BACK_OFF = 2.0  # seconds without asking a database that does not answer


def serve(
    settings: BuilderSettings, database: Database, stop: threading.Event, environ: Mapping[str, str]
) -> None:
    """Work until `stop` is set; then give running builds back at once and return.

    Raises InfrastructureError, before anything is claimed, where each build would end with that.
    """
    if settings.build_memory_limit is None:
        memory_limit.remove_limit()
    else:
        memory_limit.require_limit(settings.build_memory_limit, _cgroup_driver)
    context = BuilderContext.of(settings, environ)
    try:
        with ReportDispatcher(settings, database):
            Worker(context, database, stop).serve()
    finally:
        context.workspaces.close()


def _cgroup_driver() -> str:
    with Engine() as engine:
        return engine.cgroup_driver()


class Worker:
    """Claims builds for its free slots and runs each in a thread of its own."""

    def __init__(self, context: BuilderContext, database: Database, stop: threading.Event) -> None:
        self._context = context
        self._database = database
        self._stop = stop
        self._running: dict[threading.Thread, StopSignal] = {}
        self._free_slots = threading.Semaphore(context.settings.build_slots)
        self._reaped_at = 0.0
        self._presence = Presence(
            context.worker, context.settings.build_slots, database, replaces=context.killed_workers
        )
        self._housekeeping = Housekeeping(database)

    def serve(self) -> None:
        """Claim and build until told to stop."""
        name = self._context.worker
        log.info("worker.started", worker=name, slots=self._context.settings.build_slots)
        while not self._stop.is_set():
            self._presence.say()
            self._housekeeping.clean_up()
            if not self._free_slots.acquire(timeout=0.5):
                continue
            build = self._claim_next()
            if build is None:
                self._free_slots.release()
            else:
                self._start(build)
        self._release_all()
        self._presence.leave()
        log.info("worker.stopped", worker=name)

    def _claim_next(self) -> Build | None:
        """Return the next build, having waited for one at most a few seconds."""
        try:
            self._reap()
            with self._database.write() as session:
                build = transitions.claim(session, worker=self._context.worker, now=datetime.now(UTC))
                if build is not None:
                    return builds.get(session, build.id)
            self._database.wait_for_work(_POLL, self._stop)
        except SQLAlchemyError as exc:
            log.warning("worker.database_unavailable", error=str(exc)[:200])
            self._stop.wait(_BACK_OFF)
        return None

    def _reap(self) -> None:
        if time.monotonic() - self._reaped_at < _REAP_EVERY:
            return
        with self._database.write() as session:
            for build_id, status in transitions.reap(session, now=datetime.now(UTC)):
                log.warning("build.lost", build=build_id, status=status)
        self._sweep_temporary_tags()
        self._reaped_at = time.monotonic()

    def _sweep_temporary_tags(self) -> None:
        """Remove the images of builds that were stopped and which the engine finished all the same."""
        names = self._context.temporary_tags
        if not names.needs_sweep():
            return
        try:
            with Engine() as engine:
                left = names.sweep(engine)
        except InfrastructureError as exc:
            log.warning("worker.engine_unavailable", error=exc.message)
        else:
            if left:
                log.info("worker.forgot", images=left)

    def _start(self, build: Build) -> None:
        signal = StopSignal()
        thread = threading.Thread(target=self._run_attempt, args=(build, signal), name=f"build-{build.id}")
        self._running = {t: s for t, s in self._running.items() if t.is_alive()}
        self._running[thread] = signal
        thread.start()

    def _run_attempt(self, build: Build, signal: StopSignal) -> None:
        try:
            Attempt(build, self._context, self._database, signal).run()
        except Exception:
            log.exception("build.crashed", build=build.id)
        finally:
            self._free_slots.release()

    def _release_all(self) -> None:
        running = {thread: signal for thread, signal in self._running.items() if thread.is_alive()}
        for signal in running.values():
            signal.set(StopReason.RELEASED)
        for thread in running:
            thread.join(timeout=60)
        if running:
            time.sleep(_ENGINE_GRACE)
            self._sweep_temporary_tags()


class Attempt:
    """One attempt at one build: runs it, tells the database how it goes, and ends it as it ended."""

    def __init__(self, build: Build, context: BuilderContext, database: Database, signal: StopSignal) -> None:
        self._build = build
        self._lease = Lease(build.id, build.attempt)
        self._context = context
        self._database = database
        self._signal = signal
        self._job = Job(
            build_id=build.id,
            attempt=build.attempt,
            repository=build.repository.full_name,
            commit=build.commit,
            ref=build.ref,
            force=build.force,
            is_public=build.repository.private_known and not build.repository.private,
        )
        self._log: BuildLog | None = None
        self._log_context = log.bind(build=build.id, attempt=build.attempt, repository=self._job.repository)

    def run(self) -> None:
        """Run it to one of its ends; the lease is kept until that end is written."""
        self._log_context.info("build.claimed", commit=self._job.commit)
        masker = Masker(self._secrets())
        with LeaseKeeper(self._database, self._lease, self._signal):
            with BuildLog(self._database, self._lease, masker, self._mark_lost) as self._log:
                end = self._run_build(masker)
            self._store_outcome(end)

    def _run_build(self, masker: Masker) -> Callable[[Session], object]:
        """Build, and return the transition that ends the attempt."""
        try:
            built = build(self._job, self._context, self, self._signal)
        except UserError as exc:
            return self._end_failed(exc.reason, exc.cause, masker.mask(exc.message))
        except InfrastructureError as exc:
            return self._end_for_retry(exc.cause, masker.mask(exc.message))
        except Stopped as exc:
            return self._end_stopped(exc.stop_reason)
        except Exception:
            self._log_context.exception("build.internal_error")
            return self._end_for_retry(
                "internal_error", "Something went wrong in the builder; its log says what."
            )
        self.write(f"[repo2hub] ready: {built.name}")
        return lambda session: self._succeed(session, built)

    def _succeed(self, session: Session, built: BuiltImage) -> bool:
        now = datetime.now(UTC)
        if not transitions.finish(session, self._lease, BuildResult(Status.SUCCEEDED), now=now):
            return False
        # The image says what it was made by, which is this builder's recipe, whatever was asked for.
        images.record(
            session,
            build=self._build,
            recipe=self._context.settings.recipe(),
            name=built.name,
            digest=built.digest,
            size=built.size,
            now=now,
        )
        return True

    def _end_failed(self, reason: Reason, cause: str, message: str) -> Callable[[Session], object]:
        self.write(f"[repo2hub] failed: {message}")
        result = BuildResult(Status.FAILED, reason, cause, message)
        return lambda session: transitions.finish(session, self._lease, result, now=datetime.now(UTC))

    def _end_for_retry(self, cause: str, message: str) -> Callable[[Session], object]:
        self.write(f"[repo2hub] {message}")
        return lambda session: transitions.retry(
            session, self._lease, cause=cause, message=message, now=datetime.now(UTC)
        )

    def _end_stopped(self, stop_reason: StopReason) -> Callable[[Session], object]:
        if stop_reason is StopReason.LOST:
            return lambda _session: False
        is_cancelled = stop_reason is StopReason.CANCELLED
        goes_back = "the builder is being stopped; the build goes back to the queue"
        self.write(f"[repo2hub] {'cancelled' if is_cancelled else goes_back}")
        # Not finished as cancelled: somebody may have wished for it since, and then it is built after all.
        return lambda session: transitions.release(session, self._lease, now=datetime.now(UTC))

    def _store_outcome(self, end: Callable[[Session], object]) -> None:
        """Write the end; tried for as long as the lease can hold, since nobody else knows how it ended."""
        give_up_at = time.monotonic() + LEASE_LENGTH.total_seconds()
        while True:
            try:
                with self._database.write() as session:
                    outcome = end(session)
            except SQLAlchemyError as exc:
                self._log_context.warning("build.end_not_stored", error=str(exc)[:200])
                if time.monotonic() > give_up_at:
                    return
                time.sleep(_BACK_OFF)
                continue
            self._log_context.info("build.ended", outcome=str(outcome))
            return

    def _secrets(self) -> list[str]:
        ours = self._context.settings
        tokens = (
            ours.github_token,
            ours.github_status_token,
            ours.github_app_private_key,
            ours.notify_secret,
        )
        known = [token.get_secret_value() for token in tokens if token is not None]
        known += [self._database.url.password or "", self._context.cache_id(self._job)]
        return [secret for secret in known if len(secret) >= MIN_SECRET]

    def _mark_lost(self) -> None:
        self._signal.set(StopReason.LOST)

    def phase(self, phase: Phase) -> None:
        """Note what the build is doing; a database that is away for a moment does not end a build."""
        self._store_progress(
            lambda session: transitions.enter_phase(session, self._lease, phase, now=datetime.now(UTC))
        )
        self._signal.raise_if_set()

    def describe(self, fingerprint: str, title: str, author: str) -> None:
        """Note what the checkout told."""
        details = {"fingerprint": fingerprint, "title": title, "author": author}
        self._store_progress(lambda session: transitions.record_checkout(session, self._lease, **details))

    def _store_progress(self, statement: Callable[[Session], bool]) -> None:
        try:
            with self._database.write() as session:
                held = statement(session)
        except SQLAlchemyError as exc:
            self._log_context.warning("build.note_not_stored", error=str(exc)[:200])
            return
        if not held:
            self._mark_lost()

    def write(self, text: str) -> None:
        """Add to the build's log."""
        if self._log is not None:
            self._log.write(text)
