"""What our pipeline adds to repo2docker: from the claim of a build to its end, beside the child process alone.

The pipeline runs in this process, as the builder's worker runs it: claim, fetch, vet, fingerprint, child, name,
records, log. Cold: on a base image that no build has seen. Warm: pushes that change only a notebook. What the
pipeline adds is its time less that of the child within it; beside it stands the same command on a like checkout.
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
from builder.build import BuilderContext
from builder.buildpacks import repo2docker
from builder.child_process import StopSignal
from builder.settings import BuilderSettings
from builder.source import checkout, git_folder
from builder.source.git_access import GitAccess
from builder.worker import Attempt
from db import migrate
from db.database import Database
from db.models import Build
from db.queue import enqueue, transitions
from db.records import builds, repositories
from db.status import Status, Trigger
from demo.github.git_server import GitServer

ROUNDS = 5
_LIMITS = {"total_limit": 3600.0, "idle_limit": 900.0}


@dataclass(frozen=True)
class BuildTimes:
    """Seconds from claim to end, and those of them in the child."""

    whole: float
    child: float

    @property
    def added(self) -> float:
        return self.whole - self.child


def run(folder: Path) -> None:
    """Print what the pipeline adds to a cold build, in per cent, and to a warm one, in seconds."""
    engine = docker.from_env()
    try:
        with GitServer(folder / "github") as github:
            pipeline = Pipeline(folder, github.url, fresh_base_image(engine))
            hello, first = example_repository.create(github)
            cold = pipeline.build(first)
            mine, alone = take_turns(
                ROUNDS,
                lambda _: pipeline.build(example_repository.change_notebook(hello)),
                lambda number: pipeline.child_alone(example_repository.change_notebook(hello), number),
            )
            pipeline.close()
    finally:
        remove_images(engine)
        engine.close()
    print_median("cold build, claim to end", [cold.whole], "s")
    print_verdict(
        "cold build, added to the child, %", [100 * cold.added / cold.child], "< 3 %", lambda p: p < 3
    )
    print_median("warm build, claim to end", [times.whole for times in mine], "s")
    print_median("warm build, repo2docker alone", alone, "s")
    print_verdict(
        "warm build, added to the child, s", [times.added for times in mine], "< 0.5 s", lambda s: s < 0.5
    )


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
        """Queue a commit and build it; the clock runs from its claim."""
        self._enqueue(commit)
        with self._child_timed() as child_times:
            begun = time.perf_counter()
            build = self._claim()
            Attempt(build, self._context, self._database, StopSignal()).run()
            whole = time.perf_counter() - begun
        with self._database.read() as session:
            ended = session.get_one(Build, build.id)
        if ended.status is not Status.SUCCEEDED:
            raise RuntimeError(f"the build failed: {ended.message}")
        return BuildTimes(whole, child_times[0])

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
            raise RuntimeError("there is nothing to claim")
        return build

    @contextmanager
    def _child_timed(self) -> Iterator[list[float]]:
        """Keep how long the child takes within the block, and what it was told to build."""
        times: list[float] = []
        original = repo2docker.run

        def timed(spec: repo2docker.BuildSpec, **how: Any) -> None:
            self._last_build = spec
            begun = time.perf_counter()
            original(spec, **how)
            times.append(time.perf_counter() - begun)

        repo2docker.run = timed
        try:
            yield times
        finally:
            repo2docker.run = original

    def child_alone(self, commit: str, number: int) -> float:
        """Return how long the child takes for a commit that is checked out already."""
        if self._last_build is None:
            raise RuntimeError("build something first: the child is run as it was run then")
        folder = self._folder / f"alone-{number}"
        source, home, git_home = folder / "source", folder / "home", folder / "git"
        for path in (folder, source, git_home):
            path.mkdir()
        access = GitAccess(self._settings.github_url, None, git_home, None, os.environ)
        url, stop = self._last_build.repository_url, StopSignal()
        checkout.fetch(url, commit, source, access=access, stop=stop, on_line=_ignore, **_LIMITS)
        git_folder.drop_git(source)
        recipe = replace(
            self._last_build, checkout=source, commit=commit, image=f"{BENCH_IMAGE_PREFIX}alone:{number}"
        )
        begun = time.perf_counter()
        repo2docker.run(recipe, home=home, inherited=os.environ, write=_ignore, stop=stop, **_LIMITS)
        return time.perf_counter() - begun

    def close(self) -> None:
        self._context.workspaces.close()
        self._database.dispose()


def _ignore(_text: str) -> None:
    """Nobody reads this log."""
