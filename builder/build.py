"""One build from start to end: fetch, validate, fingerprint, run repo2docker, publish.

Knows nothing of the database: progress goes to a `BuildObserver`, the image is returned, failures are raised.
"""

import errno
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from base.git_provider import GitProvider
from builder.buildpacks import repo2docker
from builder.buildpacks.fingerprint import compute_fingerprint
from builder.child_process import StopSignal
from builder.context import BuilderContext
from builder.engine import base_image, memory_limit
from builder.engine.base_image import PreparedBase
from builder.engine.docker_client import Engine, LocalImage
from builder.engine.docker_subprocess import DockerSubprocess
from builder.errors import InfrastructureError, no_space_error
from builder.source import checkout, git_folder, validation
from builder.source.git_access import GitAccess
from db.status import Phase

MAX_CHECKOUT_BYTES = 10 * 2**30
MAX_CHECKOUT_FILES = 500_000


@dataclass(frozen=True)
class Job:
    """What to build."""

    build_id: int
    attempt: int
    repository: str
    """`org/name`, or the URL of a repository that is not on GitHub."""
    commit: str
    ref: str = ""
    """The full ref; empty for a bare commit."""
    force: bool = False
    is_public: bool = False
    """Whether it is known to be public: git then gets no token, and no private code if that has changed since."""


@dataclass(frozen=True)
class BuiltImage:
    """A finished image: its name, its digest (see `db.models.Image`) and its size in bytes."""

    name: str
    digest: str
    size: int


class BuildObserver(Protocol):
    """Receives a build's progress."""

    def phase(self, phase: Phase) -> None: ...

    def describe(self, fingerprint: str, title: str, author: str) -> None: ...

    def write(self, text: str) -> None: ...


def build_image(job: Job, context: BuilderContext, observer: BuildObserver, stop: StopSignal) -> BuiltImage:
    """Build the image of a commit under its final name and publish it.

    Raises UserError, InfrastructureError or Stopped. No process and no file of the build remains.
    """
    try:
        with context.workspaces.open(f"build-{job.build_id}") as folder, Engine() as engine:
            steps = _BuildSteps(job, context, observer, stop, folder, engine)
            observer.phase(Phase.FETCHING)
            steps.fetch()
            observer.phase(Phase.BUILDING)
            image = steps.run_repo2docker()
            if context.registry.is_remote:
                observer.phase(Phase.PUSHING)
            return BuiltImage(steps.image_name, steps.publish(image), image.size)
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space_error() from exc
        raise


@dataclass(frozen=True)
class _BuildSteps:
    """The steps of one build and what they share."""

    job: Job
    context: BuilderContext
    observer: BuildObserver
    stop: StopSignal
    folder: Path
    engine: Engine

    @property
    def image_name(self) -> str:
        return self.context.settings.image_name(self.job.repository, self.job.commit)

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def provider(self) -> GitProvider:
        return self.context.settings.git_provider(self.job.repository)

    @property
    def url(self) -> str:
        return self.provider.clone_url(self.job.repository)

    def fetch(self) -> None:
        """Fetch the commit, validate it, and report its title, author and fingerprint."""
        settings, observer = self.context.settings, self.observer
        git_home = self.folder / "git"
        for folder in (self.source, git_home):
            folder.mkdir(mode=0o700)
        observer.write(f"[repo2hub] attempt {self.job.attempt}: fetching {self.url} at {self.job.commit}")
        checkout.fetch(
            self.url,
            self.job.commit,
            self.source,
            access=GitAccess.of(
                settings, self.job.repository, git_home, self.context.environ, is_public=self.job.is_public
            ),
            stop=self.stop,
            write=observer.write,
            timeout=settings.build_timeout,
            idle_timeout=settings.build_idle_timeout,
        )
        validation.validate_checkout(self.source, max_bytes=MAX_CHECKOUT_BYTES, max_files=MAX_CHECKOUT_FILES)
        title, author = checkout.commit_details(self.source)
        if not git_folder.drop_git(self.source):
            observer.write("[repo2hub] keeping .git: a file of the repository uses it")
        observer.describe(compute_fingerprint(self.source, settings.recipe()), title, author)

    def run_repo2docker(self) -> LocalImage:
        """Build the image and give it its final name.

        It is built under a temporary tag: repo2docker does not build a name that exists, and a build that is
        stopped must not touch the image in use.
        """
        settings = self.context.settings
        if settings.build_memory_limit is not None:
            memory_limit.limit_build_steps(settings.build_memory_limit)
        base = self._base()
        with self.context.temporary_tags.reserve(self.job.build_id, self.job.attempt) as temporary_tag:
            try:
                repo2docker.run(
                    self._build_spec(temporary_tag, base),
                    home=self.folder / "home",
                    environ=self.context.environ,
                    write=self.observer.write,
                    stop=self.stop,
                    timeout=settings.build_timeout,
                    idle_timeout=settings.build_idle_timeout,
                )
                self.stop.raise_if_set()
                return self.engine.rename(temporary_tag, self.image_name)
            except BaseException:
                with suppress(InfrastructureError):  # the build's own error matters more
                    self.engine.remove_image(temporary_tag)
                raise

    def _base(self) -> PreparedBase:
        """Return the base image, pulled or prepared first if the engine does not have it."""
        settings = self.context.settings
        image = settings.base_image or base_image.DEFAULT_BASE_IMAGE
        if settings.extra_ca_certs is None and "uv" not in settings.buildpacks:
            return PreparedBase(image)  # its Python does not matter, and the build itself pulls it
        found = base_image.find_prepared(self.engine.client, image, settings.extra_ca_certs)
        return found or base_image.prepare_in_child(self._child(), image, settings.extra_ca_certs)

    def _build_spec(self, image: str, base: PreparedBase) -> repo2docker.BuildSpec:
        settings, job = self.context.settings, self.job
        return repo2docker.BuildSpec(
            checkout=self.source,
            image=image,
            repository_url=self.url,
            commit=job.commit,
            buildpacks=settings.buildpacks,
            base_image=base.name,
            python_version=base.python_version,
            cache_id=self.context.cache_id(job.repository, job.ref, job.commit),
            repo_dir=settings.repo_dir,
            no_cache=job.force,
        )

    def publish(self, image: LocalImage) -> str:
        """Publish the image and return its digest."""
        return self.context.registry.publish(image, self.image_name, self._child())

    def _child(self) -> DockerSubprocess:
        """Return how to run a slow request to the engine for this build."""
        return self.context.registry.with_login(
            DockerSubprocess(
                self.context.environ,
                self.folder,
                self.observer.write,
                self.stop,
                self.context.settings.build_timeout,
            )
        )
