"""Name images: the recipe hash and the full reference, shared by the builder and the lookup."""

import hashlib
import json
import re
from collections.abc import Sequence

from base.repository_names import is_at_github

REPO2DOCKER_VERSION = "2026.4.0"
"""The version that the builder installs: part of each recipe, known here so that a web host need not have it."""

RECIPE_VERSION = 1
"""Raised by a release whose builder makes other images from the same repository."""

# One path component of an OCI name, distribution-spec "Pulling manifests".
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_OTHER_SERVERS = "git__elsewhere"


def compute_recipe(*, base_image: str | None, buildpacks: Sequence[str], repo_dir: str | None = None) -> str:
    """Return a short hash of all that changes an image besides the commit it is built from."""
    parts: dict[str, object] = {
        "recipe": RECIPE_VERSION,
        "repo2docker": REPO2DOCKER_VERSION,
        "base_image": base_image,
        "buildpacks": list(buildpacks),
    }
    if repo_dir is not None:  # so that images made without it keep their names
        parts["repo_dir"] = repo_dir
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def image_name(
    repository: str, commit: str, recipe: str, *, prefix: str = "", registry: str | None = None
) -> str:
    """Return the full reference, `[registry/]prefix + owner/name:commit-recipe`, that an image is stored under.

    GitHub's names are case-insensitive and may hold what an OCI name may not (a leading dot, `--`): such a
    component is rewritten and gets a hash of the original, so that two repositories never share a name. Two
    underscores cannot stand in a GitHub owner, which is why a rewritten owner is unlike every real one; a dot
    would make the engine take the owner for a registry's host where nothing stands before it.

    A repository of another server is named by its address; all of these have an owner that is unlike the others.
    """
    if is_at_github(repository):
        owner, name = (_component(part) for part in repository.lower().partition("/")[::2])
    else:
        owner, name = _OTHER_SERVERS, _hashed_component(repository, repository.partition("://")[2].lower())
    path = f"{prefix}{owner}/{name}:{commit}-{recipe}"
    return f"{registry_host(registry)}/{path}" if registry else path


def registry_host(url: str) -> str:
    """Return the `host[:port][/path]` of a registry's address, as image references begin with it."""
    return re.sub(r"^https?://", "", url).rstrip("/")


def is_in_registry(name: str) -> bool:
    """Tell whether an image's name begins with a registry's host, by the rule that engines have for it."""
    first, slash, _ = name.partition("/")
    return bool(slash) and (first == "localhost" or bool(set(".:") & set(first)))


def _hashed_component(address: str, readable: str) -> str:
    """Return a component for an address: as long a hash as keeps anybody from finding a second one."""
    legal = re.sub(r"[^a-z0-9]+", "-", readable)[:80].strip("-") or "x"
    return f"{legal}__x{hashlib.sha256(address.encode()).hexdigest()[:32]}"


def _component(text: str) -> str:
    if _COMPONENT.fullmatch(text):
        return text
    legal = re.sub(r"[^a-z0-9]+", "-", text).strip("-") or "x"
    return f"{legal}__x{hashlib.sha256(text.encode()).hexdigest()[:12]}"
