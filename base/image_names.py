"""Name images: the recipe hash and the full reference, shared by the builder and the lookup."""

import hashlib
import json
import re
from collections.abc import Sequence

from base.repository_names import is_at_github

REPO2DOCKER_VERSION = "2026.4.0"
"""The version that builders install. It is part of the recipe; a web host does not have repo2docker installed."""

RECIPE_VERSION = 1
"""Raise it in a release whose builder makes different images from the same repository."""

# One path component of an OCI name, distribution-spec "Pulling manifests".
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_OTHER_SERVERS = "git__elsewhere"


def compute_recipe(*, base_image: str | None, buildpacks: Sequence[str], repo_dir: str | None = None) -> str:
    """Return a short hash of everything besides the commit that changes an image."""
    parts: dict[str, object] = {
        "recipe": RECIPE_VERSION,
        "repo2docker": REPO2DOCKER_VERSION,
        "base_image": base_image,
        "buildpacks": list(buildpacks),
    }
    if repo_dir is not None:  # images built without it keep their names
        parts["repo_dir"] = repo_dir
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def image_name(
    repository: str, commit: str, recipe: str, *, prefix: str = "", registry: str | None = None
) -> str:
    """Return the full reference, `[registry/]prefix + owner/name:commit-recipe`, that an image is stored under.

    GitHub's names are case-insensitive and may contain what an OCI name may not (a leading dot, `--`). Such a
    component is rewritten and gets a hash of the original, so that no two repositories share a name. A GitHub
    owner never has two underscores, so a rewritten owner differs from every real one; a dot would make the engine
    take the first component for a registry's host.

    Repositories on other servers are named by their address, below an owner that no GitHub owner equals.
    """
    if is_at_github(repository):
        owner, name = (_component(part) for part in repository.lower().partition("/")[::2])
    else:
        owner, name = _OTHER_SERVERS, _hashed_component(repository, repository.partition("://")[2].lower())
    path = f"{prefix}{owner}/{name}:{commit}-{recipe}"
    return f"{registry_host(registry)}/{path}" if registry else path


def registry_host(url: str) -> str:
    """Return the `host[:port][/path]` of a registry's URL, with which image references begin."""
    return re.sub(r"^https?://", "", url).rstrip("/")


def is_in_registry(name: str) -> bool:
    """Return whether an image's name begins with a registry's host, by the rule of container engines."""
    first, slash, _ = name.partition("/")
    return bool(slash) and (first == "localhost" or bool(set(".:") & set(first)))


def _hashed_component(address: str, readable: str) -> str:
    """Return a component for an address, with a hash long enough to prevent collisions."""
    legal = re.sub(r"[^a-z0-9]+", "-", readable)[:80].strip("-") or "x"
    return f"{legal}__x{hashlib.sha256(address.encode()).hexdigest()[:32]}"


def _component(text: str) -> str:
    if _COMPONENT.fullmatch(text):
        return text
    legal = re.sub(r"[^a-z0-9]+", "-", text).strip("-") or "x"
    return f"{legal}__x{hashlib.sha256(text.encode()).hexdigest()[:12]}"
