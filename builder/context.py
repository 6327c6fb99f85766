"""What all builds of one builder process share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from builder.buildpacks import uv_cache
from builder.engine.docker_registry import DockerRegistry
from builder.engine.local_registry import LocalRegistry
from builder.engine.registry import Registry
from builder.engine.temporary_tags import TemporaryTags
from builder.settings import BuilderSettings
from builder.workspace import Workspaces, builder_secret


@dataclass(frozen=True)
class BuilderContext:
    """Settings, private folders and the registry of one builder process."""

    settings: BuilderSettings
    registry: Registry
    workspaces: Workspaces
    temporary_tags: TemporaryTags
    builder_secret: bytes
    environ: Mapping[str, str]
    """The builder's own environment; each child process gets the few variables that it needs."""

    @classmethod
    def of(cls, settings: BuilderSettings, environ: Mapping[str, str]) -> Self:
        """Return the context for a data folder. The caller closes its `workspaces`."""
        workspaces = Workspaces(settings.data_dir)
        secret = builder_secret(settings.data_dir)
        registry = LocalRegistry() if settings.registry_url is None else DockerRegistry()
        return cls(settings, registry, workspaces, TemporaryTags(workspaces, secret), secret, environ)

    @property
    def worker(self) -> str:
        """This process's name in the records: its host's name and a part that is new at each start."""
        return self._worker(self.workspaces.name)

    @property
    def killed_workers(self) -> list[str]:
        """The names of killed processes that this one replaces."""
        return [self._worker(name) for name in self.workspaces.killed_builders]

    def _worker(self, workspace: str) -> str:
        return f"{self.settings.worker_name}-{workspace.removeprefix('builder-')}"

    def cache_id(self, repository: str, ref: str, commit: str) -> str:
        """Return the secret id of a build's package cache.

        Branches and tags share the repository's cache. Anybody can open a pull request, and GitHub serves a
        fork's commits under the target's name: everything else gets a cache of its own, so that it cannot put
        packages into other images.
        """
        if ref.startswith(("refs/heads/", "refs/tags/")):
            return uv_cache.cache_id(self.builder_secret, repository)
        return uv_cache.cache_id(self.builder_secret, f"{repository}@{ref or commit}")
