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

from bench import repository
from bench.images import PREFIX, fresh_base_image, remove_images
from bench.rounds import show, take_turns, verdict
from builder import checkout, git_folder, repo2docker
from builder.build import Tools
from builder.child import StopSignal
from builder.git_access import GitAccess
from builder.settings import BuilderSettings
from builder.worker import Attempt
from db import builds, migrate, queue, repositories
from db.engine import Database
from db.models import Build
from db.status import Status, Trigger
from repo2hub.git_server import GitServer

ROUNDS = 5
_LIMITS = {"total_limit": 3600.0, "idle_limit": 900.0}


@dataclass(frozen=True)
class Times:
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
            hello, first = repository.create(github)
            cold = pipeline.build(first)
            mine, alone = take_turns(
                ROUNDS,
                lambda _: pipeline.build(repository.change_notebook(hello)),
                lambda number: pipeline.child_alone(repository.change_notebook(hello), number),
            )
            pipeline.close()
    finally:
        remove_images(engine)
        engine.close()
    show("cold build, claim to end", [cold.whole], "s")
    verdict("cold build, added to the child, %", [100 * cold.added / cold.child], "< 3 %", lambda p: p < 3)
    show("warm build, claim to end", [times.whole for times in mine], "s")
    show("warm build, repo2docker alone", alone, "s")
    verdict(
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
            image_prefix=PREFIX,
        )
        self._folder = folder
        self._tools = Tools.of(self._settings, os.environ)
        self._database = Database(f"sqlite:///{data_dir / 'repo2hub.db'}")
        migrate.upgrade(self._database)
        self._last: repo2docker.Recipe | None = None

    def build(self, commit: str) -> Times:
        """Queue a commit and build it; the clock runs from its claim."""
        self._enqueue(commit)
        with self._child_timed() as child_times:
            begun = time.perf_counter()
            build = self._claim()
            Attempt(build, self._tools, self._database, StopSignal()).run()
            whole = time.perf_counter() - begun
        with self._database.read() as session:
            ended = session.get_one(Build, build.id)
        if ended.status is not Status.SUCCEEDED:
            raise RuntimeError(f"the build failed: {ended.message}")
        return Times(whole, child_times[0])

    def _enqueue(self, commit: str) -> None:
        now = datetime.now(UTC)
        with self._database.write() as session:
            queue.enqueue(
                session,
                repository=repositories.record(session, full_name=repository.NAME, now=now),
                ref="refs/heads/main",
                commit=commit,
                recipe=self._settings.recipe(),
                trigger=Trigger.PUSH,
                now=now,
            )

    def _claim(self) -> Build:
        with self._database.write() as session:
            claimed = queue.claim(session, worker="bench", now=datetime.now(UTC))
            build = claimed and builds.get(session, claimed.id)
        if build is None:
            raise RuntimeError("there is nothing to claim")
        return build

    @contextmanager
    def _child_timed(self) -> Iterator[list[float]]:
        """Keep how long the child takes within the block, and what it was told to build."""
        times: list[float] = []
        original = repo2docker.run

        def timed(recipe: repo2docker.Recipe, **how: Any) -> None:
            self._last = recipe
            begun = time.perf_counter()
            original(recipe, **how)
            times.append(time.perf_counter() - begun)

        repo2docker.run = timed
        try:
            yield times
        finally:
            repo2docker.run = original

    def child_alone(self, commit: str, number: int) -> float:
        """Return how long the child takes for a commit that is checked out already."""
        if self._last is None:
            raise RuntimeError("build something first: the child is run as it was run then")
        folder = self._folder / f"alone-{number}"
        source, home, git_home = folder / "source", folder / "home", folder / "git"
        for path in (folder, source, git_home):
            path.mkdir()
        access = GitAccess(self._settings.github_url, None, git_home, None, os.environ)
        url, stop = self._last.repository_url, StopSignal()
        checkout.fetch(url, commit, source, access=access, stop=stop, on_line=_ignore, **_LIMITS)
        git_folder.drop_git(source)
        recipe = replace(self._last, checkout=source, commit=commit, image=f"{PREFIX}alone:{number}")
        begun = time.perf_counter()
        repo2docker.run(recipe, home=home, inherited=os.environ, write=_ignore, stop=stop, **_LIMITS)
        return time.perf_counter() - begun

    def close(self) -> None:
        self._tools.workspaces.close()
        self._database.dispose()


def _ignore(_text: str) -> None:
    """Nobody reads this log."""
