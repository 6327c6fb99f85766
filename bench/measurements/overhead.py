"""The overhead of our pipeline over repo2docker: from the claim of a build to its end, beside repo2docker alone.

The pipeline runs in this process, as in the builder's worker: claim, fetch, vet, fingerprint, repo2docker, tag,
records, log. Cold is a base image that no build has used; warm is a push that changes only a notebook. The
overhead is the time of the pipeline minus that of the repo2docker process in it; the same command on the same
kind of checkout runs beside it.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker

from bench.harness.rounds import print_median, print_verdict, take_turns
from bench.inputs import example_repository
from bench.inputs.base_images import BENCH_IMAGE_PREFIX, fresh_base_image, remove_images
from builder.attempt import Attempt
from builder.buildpacks import repo2docker
from builder.child_process import StopSignal
from builder.context import BuilderContext
from builder.settings import BuilderSettings
from builder.source import checkout, git_folder
from builder.source.git_access import GitAccess
from db import migrate
from db.database import Database
from db.models import Build
from db.queue import enqueue, transitions
from db.records import builds, repositories
from db.records.logs import DatabaseLogStore
from db.status import Status, Trigger
from demo.github.git_server import GitServer

ROUNDS = 5
_LIMITS = {"timeout": 3600.0, "idle_timeout": 900.0}


@dataclass(frozen=True)
class BuildTimes:
    """Seconds from claim to end, and of the repo2docker process in between."""

    total: float
    repo2docker: float

    @property
    def overhead(self) -> float:
        return self.total - self.repo2docker


def run(folder: Path) -> None:
    """Print the overhead of a cold build, in percent, and of a warm build, in seconds."""
    engine = docker.from_env()
    try:
        with GitServer(folder / "github") as github:
            pipeline = Pipeline(folder, github.url, fresh_base_image(engine))
            hello, first = example_repository.create(github)
            cold = pipeline.build(first)
            mine, alone = take_turns(
                ROUNDS,
                lambda _: pipeline.build(example_repository.change_notebook(hello)),
                lambda number: pipeline.repo2docker_alone(example_repository.change_notebook(hello), number),
            )
            pipeline.close()
    finally:
        remove_images(engine)
        engine.close()
    print_median("cold build, claim to end", [cold.total], "s")
    print_verdict(
        "cold build, overhead, %", [100 * cold.overhead / cold.repo2docker], "< 3 %", lambda p: p < 3
    )
    print_median("warm build, claim to end", [times.total for times in mine], "s")
    print_median("warm build, repo2docker alone", alone, "s")
    print_verdict("warm build, overhead, s", [times.overhead for times in mine], "< 0.5 s", lambda s: s < 0.5)


class Pipeline:
    """A builder's worker without its loop."""

    def __init__(self, folder: Path, github_url: str, base_image: str) -> None:
        data_dir = folder / "data"
        self._settings = BuilderSettings(
            data_dir=data_dir,
            github_url=github_url,
            base_image=base_image,
            buildpacks=("uv", "standard"),
            image_prefix=BENCH_IMAGE_PREFIX,
        )
        self._folder = folder
        self._context = BuilderContext.of(self._settings, os.environ)
        self._database = Database(f"sqlite:///{data_dir / 'repo2hub.db'}")
        migrate.upgrade(self._database)
        self._last_build: repo2docker.BuildSpec | None = None

    def build(self, commit: str) -> BuildTimes:
        """Queue a commit and build it; the time starts at its claim."""
        self._enqueue(commit)
        with self._timed_repo2docker() as durations:
            started = time.perf_counter()
            build = self._claim()
            log_store = DatabaseLogStore(self._database)
            Attempt(build, self._context, self._database, log_store, StopSignal()).run()
            total = time.perf_counter() - started
        with self._database.read() as session:
            ended = session.get_one(Build, build.id)
        if ended.status is not Status.SUCCEEDED:
            raise RuntimeError(f"the build failed: {ended.message}")
        return BuildTimes(total, durations[0])

    def _enqueue(self, commit: str) -> None:
        now = datetime.now(UTC)
        with self._database.write() as session:
            enqueue.enqueue(
                session,
                repository=repositories.record(session, full_name=example_repository.NAME, now=now),
                ref="refs/heads/main",
                commit=commit,
                recipe=self._settings.recipe(),
                trigger=Trigger.PUSH,
                now=now,
            )

    def _claim(self) -> Build:
        with self._database.write() as session:
            claimed = transitions.claim(session, worker="bench", now=datetime.now(UTC))
            build = claimed and builds.get(session, claimed.id)
        if build is None:
            raise RuntimeError("no build to claim")
        return build

    @contextmanager
    def _timed_repo2docker(self) -> Iterator[list[float]]:
        """Record the duration of repo2docker within the block, and its BuildSpec."""
        times: list[float] = []
        original = repo2docker.run

        def timed(spec: repo2docker.BuildSpec, **options: Any) -> None:
            self._last_build = spec
            started = time.perf_counter()
            original(spec, **options)
            times.append(time.perf_counter() - started)

        repo2docker.run = timed
        try:
            yield times
        finally:
            repo2docker.run = original

    def repo2docker_alone(self, commit: str, number: int) -> float:
        """Return the seconds that repo2docker takes for a commit that is already checked out."""
        if self._last_build is None:
            raise RuntimeError("build something first: this repeats the last build")
        folder = self._folder / f"alone-{number}"
        source, home, git_home = folder / "source", folder / "home", folder / "git"
        for path in (folder, source, git_home):
            path.mkdir()
        access = GitAccess(self._settings.github_url, None, git_home, None, os.environ)
        url, stop = self._last_build.repository_url, StopSignal()
        checkout.fetch(url, commit, source, access=access, stop=stop, write=_ignore, **_LIMITS)
        git_folder.drop_git(source)
        spec = replace(
            self._last_build, checkout=source, commit=commit, image=f"{BENCH_IMAGE_PREFIX}alone:{number}"
        )
        started = time.perf_counter()
        repo2docker.run(spec, home=home, environ=os.environ, write=_ignore, stop=stop, **_LIMITS)
        return time.perf_counter() - started

    def close(self) -> None:
        self._context.workspaces.close()
        self._database.dispose()


def _ignore(_text: str) -> None:
    """Discard the log."""
