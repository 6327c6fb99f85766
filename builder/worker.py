"""The worker loop: reap, claim, build, finish. Runs up to `build_slots` builds at once, each in a thread."""

import threading
import time
from datetime import UTC, datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError

from builder.attempt import Attempt
from builder.child_process import StopSignal
from builder.context import BuilderContext
from builder.engine.docker_client import Engine
from builder.errors import InfrastructureError, StopReason
from builder.housekeeping import Housekeeping
from builder.presence import Presence
from db.database import Database
from db.log_store import LogStore
from db.models import Build
from db.queue import transitions
from db.queue.wake_up import WakeUp
from db.records import builds

log = structlog.get_logger()

_POLL = 5.0  # seconds between two polls of the queue, should a wake-up get lost
_REAP_INTERVAL = 10.0  # seconds
_ENGINE_GRACE = 0.5  # seconds in which the engine stops, or completes, the builds that were stopped
_BACK_OFF = 2.0  # seconds between two tries of a database that does not answer
_RELEASE_TIMEOUT = 60.0  # seconds that stopped builds get to end


class Worker:
    """Claims builds for one builder process and runs each in a thread."""

    def __init__(
        self,
        context: BuilderContext,
        database: Database,
        log_store: LogStore,
        wake_up: WakeUp,
        stop: threading.Event,
    ) -> None:
        self._context = context
        self._database = database
        self._log_store = log_store
        self._wake_up = wake_up
        self._stop = stop
        self._running: dict[threading.Thread, StopSignal] = {}
        self._free_slots = threading.Semaphore(context.settings.build_slots)
        self._reaped_at = 0.0
        self._presence = Presence(
            context.worker, context.settings.build_slots, database, replaces=context.killed_workers
        )
        self._housekeeping = Housekeeping(database)

    def serve(self) -> None:
        """Claim and run builds until the stop event is set, then release the running ones."""
        name = self._context.worker
        log.info("worker.started", worker=name, slots=self._context.settings.build_slots)
        while not self._stop.is_set():
            self._presence.announce()
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
        """Return the next build; None after a wait of a few seconds without one."""
        try:
            self._reap()
            with self._database.write() as session:
                build = transitions.claim(session, worker=self._context.worker, now=datetime.now(UTC))
                if build is not None:
                    return builds.get(session, build.id)
            self._wake_up.wait(_POLL, self._stop)
        except SQLAlchemyError as exc:
            log.warning("worker.database_unavailable", error=str(exc)[:200])
            self._stop.wait(_BACK_OFF)
        return None

    def _reap(self) -> None:
        if time.monotonic() - self._reaped_at < _REAP_INTERVAL:
            return
        with self._database.write() as session:
            for build_id, status in transitions.reap(session, now=datetime.now(UTC)):
                log.warning("build.lost", build=build_id, status=status)
        self._sweep_temporary_tags()
        self._reaped_at = time.monotonic()

    def _sweep_temporary_tags(self) -> None:
        """Remove images of stopped builds that the engine completed all the same."""
        tags = self._context.temporary_tags
        if not tags.needs_sweep():
            return
        try:
            with Engine() as engine:
                removed = tags.sweep(engine)
        except InfrastructureError as exc:
            log.warning("worker.engine_unavailable", error=exc.message)
        else:
            if removed:
                log.info("worker.temporary_tags_removed", images=removed)

    def _start(self, build: Build) -> None:
        signal = StopSignal()
        thread = threading.Thread(target=self._run_attempt, args=(build, signal), name=f"build-{build.id}")
        self._running = {t: s for t, s in self._running.items() if t.is_alive()}
        self._running[thread] = signal
        thread.start()

    def _run_attempt(self, build: Build, signal: StopSignal) -> None:
        try:
            Attempt(build, self._context, self._database, self._log_store, signal).run()
        except Exception:
            log.exception("build.crashed", build=build.id)
        finally:
            self._free_slots.release()

    def _release_all(self) -> None:
        running = {thread: signal for thread, signal in self._running.items() if thread.is_alive()}
        for signal in running.values():
            signal.set(StopReason.RELEASED)
        for thread in running:
            thread.join(timeout=_RELEASE_TIMEOUT)
        if running:
            time.sleep(_ENGINE_GRACE)
            self._sweep_temporary_tags()
