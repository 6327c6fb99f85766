"""repo2docker's configuration for the peer: buildpacks and base image as ours, but it clones by itself."""

from repo2docker.contentproviders import Git

load_subconfig(__import__("os").environ["BENCH_OUR_CONFIG"])  # type: ignore[name-defined] # noqa: F821
get_config().Repo2Docker.content_providers = [Git]  # type: ignore[name-defined] # noqa: F821
