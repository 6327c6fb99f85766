"""repo2docker's configuration file, passed to the child process with --config.

traitlets executes it in the child and provides `get_config`. traitlets only logs an exception, and repo2docker
would continue with its defaults: another base image and all content providers. So every error here ends the
process.

The values come from REPO2HUB_REPO2DOCKER, a JSON object:
  buildpacks      ["standard"], ["uv", "standard"] or ["uv"]
  base_image      the image that generated Dockerfiles start from
  python_version  the base image's Python as "3.11", or null (see `PreparedBase.python_version`)
  cache_id        the repository's package cache (see `uv_cache.cache_id`), or null for none
  no_cache        true to reuse no layer of an earlier build
"""

import json
import os
from functools import partial
from typing import Any

from repo2docker.app import Repo2Docker
from repo2docker.buildpacks import DockerBuildPack, LegacyBinderDockerBuildPack
from repo2docker.contentproviders import Local
from traitlets.config import Config

try:
    from builder.buildpacks.uv_buildpack import UvBuildPack
except ImportError as exc:
    raise SystemExit(f"repo2docker's configuration failed: {exc}") from exc


def _configure(config: Config, values: dict[str, Any]) -> None:
    repo2docker = config.Repo2Docker
    # The builder fetches by itself; the other providers would connect to services on the network.
    repo2docker.content_providers = [Local]
    repo2docker.base_image = values["base_image"]
    # Provenance would turn the image into an index, with another digest for the same content.
    extra = ["--provenance=false"]
    config.DockerEngine.extra_buildx_build_args = [*extra, "--no-cache"] if values["no_cache"] else extra
    if "uv" in values["buildpacks"]:
        _put_uv_first(config, values, required="standard" not in values["buildpacks"])


def _put_uv_first(config: Config, values: dict[str, Any], *, required: bool) -> None:
    """Put uv before repo2docker's buildpacks, but after the Dockerfile's: a Dockerfile always wins."""
    uv = partial(
        UvBuildPack,
        python_version=values["python_version"],
        cache_id=values["cache_id"],
        required=required,
    )
    first = [LegacyBinderDockerBuildPack, DockerBuildPack]
    rest = [pack for pack in Repo2Docker.buildpacks.default() if pack not in first]
    config.Repo2Docker.buildpacks = [*first, uv] if required else [*first, uv, *rest]
    if required:
        config.Repo2Docker.default_buildpack = None


def _main(config: Config) -> None:
    values = json.loads(os.environ["REPO2HUB_REPO2DOCKER"])
    if values["buildpacks"] not in (["standard"], ["uv", "standard"], ["uv"]):
        raise ValueError(f"unknown buildpacks {values['buildpacks']}")
    _configure(config, values)


try:
    _main(get_config())  # type: ignore[name-defined] # noqa: F821
except Exception as exc:
    raise SystemExit(f"repo2docker's configuration failed: {type(exc).__name__}: {exc}") from exc
