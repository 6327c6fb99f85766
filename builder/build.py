"""One build, top to bottom, as a recipe: fetch, vet, fingerprint, run repo2docker, push.

It knows nothing of the database: what it learns goes to a `BuildObserver`, what it made is returned, and what went
wrong is raised.
"""

import errno
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from base.repository_names import is_at_github, repository_url, server_url
from builder.buildpacks import fingerprint, repo2docker, uv_cache
from builder.child_process import StopSignal
from builder.engine import base_image, docker_subprocess, memory_limit, registry
from builder.engine.base_image import PreparedBase
from builder.engine.docker_client import Engine, LocalImage
from builder.engine.temporary_tags import TemporaryTags
from builder.errors import InfrastructureError
from builder.settings import BuilderSettings
from builder.source import checkout, git_folder, validation
from builder.source.git_access import GitAccess
from builder.workspace import Workspaces, builder_secret
from db.status import Phase

MAX_CHECKOUT_BYTES = 10 * 2**30
MAX_CHECKOUT_FILES = 500_000


@dataclass(frozen=True)
class Job:
    """What is to be built."""

    build_id: int
    attempt: int
    repository: str
    """`org/name`, or the address of a repository that is not at GitHub."""
    commit: str
    ref: str = ""
    """In full; empty for a bare commit."""
    force: bool = False
    is_public: bool = False
    """Known to be: then git needs no token, and gets no private code should it have changed since."""

    @property
    def may_need_token(self) -> bool:
        """Whether GitHub may have to know who asks; no other server ever hears of the token."""
        return is_at_github(self.repository) and not self.is_public


@dataclass(frozen=True)
class BuiltImage:
    """The image that a build made: its name, its digest (see `db.models.Image`) and its size in bytes."""

    name: str
    digest: str
    size: int


class BuildObserver(Protocol):
    """Who is told how it goes."""

    def phase(self, phase: Phase) -> None: ...

    def describe(self, fingerprint: str, title: str, author: str) -> None: ...

    def write(self, text: str) -> None: ...


@dataclass(frozen=True)
class BuilderContext:
    """What every build of this process shares."""

    settings: BuilderSettings
    workspaces: Workspaces
    temporary_tags: TemporaryTags
    builder_secret: bytes
    environ: Mapping[str, str]
    """The builder's own environment; each child gets the few variables that it needs."""

    @classmethod
    def of(cls, settings: BuilderSettings, environ: Mapping[str, str]) -> Self:
        """Return the tools for a data folder, with a workspace to be closed at the end."""
        workspaces = Workspaces(settings.data_dir)
        key = builder_secret(settings.data_dir)
        return cls(settings, workspaces, TemporaryTags(workspaces, key), key, environ)

    @property
    def worker(self) -> str:
        """This process's name in the records: its host's, and its own on that host, new at each start."""
        return self._worker(self.workspaces.name)

    @property
    def killed_workers(self) -> list[str]:
        """The names of those that were killed and whose place this process takes."""
        return [self._worker(name) for name in self.workspaces.killed_builders]

    def _worker(self, workspace: str) -> str:
        return f"{self.settings.worker_name}-{workspace.removeprefix('builder-')}"

    def cache_id(self, job: Job) -> str:
        """Return the secret name of the package cache: the repository's, for its own branches and tags.

        Anybody can open a pull request, and GitHub gives a fork's commits out as the repository's own: whatever
        else is built has a cache for itself, or it could put packages into the images of others.
        """
        if job.ref.startswith(("refs/heads/", "refs/tags/")):
            return uv_cache.cache_id(self.builder_secret, job.repository)
        return uv_cache.cache_id(self.builder_secret, f"{job.repository}@{job.ref or job.commit}")


def build(job: Job, context: BuilderContext, observer: BuildObserver, stop: StopSignal) -> BuiltImage:
    """Build the image of a commit, under its final name, and push it where a registry is configured.

    Raises UserError, InfrastructureError or Stopped; nothing is left running and no file is left behind.
    """
    try:
        with context.workspaces.open(f"build-{job.build_id}") as folder, Engine() as engine:
            steps = _BuildSteps(job, context, observer, stop, folder, engine)
            observer.phase(Phase.FETCHING)
            steps.fetch()
            observer.phase(Phase.BUILDING)
            image = steps.run_repo2docker()
            if context.settings.registry_url is None:
                return BuiltImage(steps.image_name, image.id, image.size)
            observer.phase(Phase.PUSHING)
            return BuiltImage(steps.image_name, steps.push(), image.size)
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InfrastructureError(
                "no_space", "There is no space left on the builder; an admin has to free some."
            ) from exc
        raise


@dataclass(frozen=True)
class _BuildSteps:
    """One build's place of work: the steps of the recipe, with what they share."""

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
    def url(self) -> str:
        return repository_url(self.context.settings.github_url, self.job.repository)

    def fetch(self) -> None:
        """Fetch the commit, vet it, and tell what it is."""
        settings, observer = self.context.settings, self.observer
        git_home = self.folder / "git"
        for folder in (self.source, git_home):
            folder.mkdir(mode=0o700)
        observer.write(f"[repo2hub] attempt {self.job.attempt}: fetching {self.url} at {self.job.commit}")
        checkout.fetch(
            self.url,
            self.job.commit,
            self.source,
            access=GitAccess(
                settings.github_url,
                settings.github_token if self.job.may_need_token else None,
                git_home,
                settings.extra_ca_certs,
                self.context.environ,
                server_url(settings.github_url, self.job.repository),
                settings.git_hosts,
            ),
            stop=self.stop,
            on_line=observer.write,
            total_limit=settings.build_timeout,
            idle_limit=settings.build_idle_timeout,
        )
        validation.validate_checkout(self.source, max_bytes=MAX_CHECKOUT_BYTES, max_files=MAX_CHECKOUT_FILES)
        title, author = checkout.commit_details(self.source)
        if not git_folder.drop_git(self.source):
            observer.write("[repo2hub] .git stays, because a file of the repository needs it")
        found = fingerprint.fingerprint(self.source, settings.recipe())
        observer.describe(found.value, title, author)

    def run_repo2docker(self) -> LocalImage:
        """Build the image and give it its final name.

        Until then it has a name of its own: repo2docker does not build where a name exists, and a build that
        is stopped or lost must not touch the image that people use.
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
                    inherited=self.context.environ,
                    write=self.observer.write,
                    stop=self.stop,
                    total_limit=settings.build_timeout,
                    idle_limit=settings.build_idle_timeout,
                )
                self.stop.raise_if_set()
                return self.engine.rename(temporary_tag, self.image_name)
            except BaseException:
                with suppress(InfrastructureError):  # how the build ended matters more
                    self.engine.remove_image(temporary_tag)
                raise

    def _base(self) -> PreparedBase:
        """Return what to build from, pulled or made first where the engine does not have it."""
        settings = self.context.settings
        image, bundle = settings.base_image or base_image.DEFAULT_BASE_IMAGE, settings.extra_ca_certs
        if bundle is None and "uv" not in settings.buildpacks:
            return PreparedBase(image)  # its Python does not matter, and whoever builds from it pulls it
        base = base_image.find_prepared(self.engine.client, image, bundle)
        return base or base_image.remember(self._prepare_base(image, bundle))

    def _prepare_base(self, image: str, bundle: Path | None) -> PreparedBase:
        said = self._run_docker_subprocess(
            base_image.unusable_error, "builder.engine.base_image", image, str(bundle or "")
        )
        if not said:
            raise base_image.unusable_error("what should make it ended without a word")
        return PreparedBase(**said)

    def _build_spec(self, image: str, base: PreparedBase) -> repo2docker.BuildSpec:
        settings = self.context.settings
        return repo2docker.BuildSpec(
            checkout=self.source,
            image=image,
            repository_url=self.url,
            commit=self.job.commit,
            buildpacks=settings.buildpacks,
            base_image=base.name,
            python_version=base.python_version,
            cache_id=self.context.cache_id(self.job),
            repo_dir=settings.repo_dir,
            no_cache=self.job.force,
        )

    def push(self) -> str:
        """Push the image and return its manifest's digest."""
        self.observer.write(f"[repo2hub] pushing {self.image_name}")
        said = self._run_docker_subprocess(registry.error_for, "builder.engine.registry", self.image_name)
        if "digest" not in said:
            raise registry.error_for("the push ended without a digest")
        return str(said["digest"])

    def _run_docker_subprocess(
        self, error_for: Callable[[str], InfrastructureError], module: str, *arguments: str
    ) -> dict[str, Any]:
        return docker_subprocess.run(
            module,
            *arguments,
            environ=self.context.environ,
            cwd=self.folder,
            write=self.observer.write,
            stop=self.stop,
            limit=self.context.settings.build_timeout,
            error_for=error_for,
        )
