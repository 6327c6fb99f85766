"""What a person chose, out of the form, a link or the REST API: all of it is input that anybody may have written.

Nothing here names an image. A choice is a repository and a ref, or the name of one of the admin's images, and
which image that is gets looked up when the server starts. (An option called "image" would moreover be taken by
DockerSpawner itself.)
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repo2hub_launcher.settings import Settings

MAX_TEXT_LENGTH = 300
# An underscore stands in the names of accounts that a company manages.
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_GITHUB = re.compile(r"^(https?://)?(www\.)?github\.com/", re.IGNORECASE)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_OPTION_NAMES = {"repo", "ref", "commit", "fixed", "resources"}


class InvalidOptions(ValueError):
    """Its text tells the person what to enter instead."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Either a repository at a ref, or one of the admin's images; and a size, where sizes are offered.

    `commit` is the one whose image the person saw to be ready; the ref's newest goes first.
    """

    repository: str | None = None
    ref: str = "HEAD"
    commit: str | None = None
    fixed: str | None = None
    resources: str | None = None

    @property
    def repository_and_ref(self) -> str:
        """The repository, and the ref where one was named, in words."""
        return str(self.repository) if self.ref == "HEAD" else f"{self.repository} at {self.ref}"

    def describe(self) -> str:
        """Return what is started, in words that can begin a sentence."""
        return f"The image {self.fixed}" if self.fixed else f"The image of {self.repository_and_ref}"


def options_from_form(data: Mapping[str, list[Any]]) -> dict[str, str]:
    """Return the user options of a form that was sent, or of a link's query. Raises BadOptions.

    `choice` says which part of the form counts: `fixed:<name>`, `ready:<JSON of repo, ref, commit>` or `build`.
    """
    given = {name: _first(values) for name, values in data.items()}
    kind, _, what = given.get("choice", "build").partition(":")
    if kind == "fixed":
        options = {"fixed": what}
    elif kind == "ready":
        options = _parse_ready_choice(what)
    elif kind == "build":
        options = {name: given[name] for name in ("repo", "ref", "commit") if given.get(name)}
    else:
        raise InvalidOptions("Choose an image.")
    if given.get("resources"):
        options["resources"] = given["resources"]
    return options


def parse_options(options: Mapping[str, Any], settings: Settings) -> Choice:
    """Return what the user options mean. Raises BadOptions."""
    if unknown := sorted(str(name)[:40] for name in options.keys() - _OPTION_NAMES):
        raise InvalidOptions(
            f"There is no option {', '.join(unknown)}; there are {', '.join(sorted(_OPTION_NAMES))}."
        )
    if wrong := sorted(name for name, value in options.items() if not isinstance(value, str)):
        raise InvalidOptions(f"{', '.join(wrong)}: write a text.")
    resources = _resources(options.get("resources"), settings)
    fixed, repository = options.get("fixed"), options.get("repo")
    if fixed and repository:
        raise InvalidOptions("Choose one of the hub's images or a repository, not both.")
    if fixed:
        if fixed not in settings.fixed_images:
            raise InvalidOptions("The hub does not offer that image any more. Choose another.")
        return Choice(fixed=fixed, resources=resources)
    if not repository:
        raise InvalidOptions("Choose an image, or enter a repository such as org/repo.")
    commit = options.get("commit") or None
    if commit is not None and not _COMMIT.fullmatch(commit):
        raise InvalidOptions("A commit is written as 40 hexadecimal digits.")
    return Choice(parse_repository(repository), parse_ref(options.get("ref", "")), commit, None, resources)


def parse_repository(text: str) -> str:
    """Return `org/repo` out of that or of its address at GitHub. Raises BadOptions."""
    found = _GITHUB.sub("", text.strip()).rstrip("/").removesuffix(".git")
    if not _REPOSITORY.fullmatch(found):
        raise InvalidOptions("Enter the repository as org/repo, or as its address at GitHub.")
    return found


def parse_ref(text: str) -> str:
    """Return the ref to look up, HEAD where none was given; the service knows better what git accepts.

    Raises BadOptions.
    """
    ref = text.strip() or "HEAD"
    if len(ref) > MAX_TEXT_LENGTH or not ref.isprintable() or any(c.isspace() for c in ref):
        raise InvalidOptions("Enter the ref as a branch, a tag, a commit, or leave it empty.")
    return ref


def _resources(name: str | None, settings: Settings) -> str | None:
    if not settings.resources:
        return None
    if not name:
        return next(iter(settings.resources))
    if name not in settings.resources:
        raise InvalidOptions("The hub does not offer that size any more. Choose another.")
    return name


def _parse_ready_choice(text: str) -> dict[str, str]:
    try:
        said = json.loads(text)
        chosen = {name: str(said[name]) for name in ("repo", "ref", "commit")}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InvalidOptions("Choose an image again.") from None
    # What was built for a bare commit stands at no ref, and no ref would mean the newest of the default branch.
    return {**chosen, "ref": chosen["ref"] or chosen["commit"]}


def _first(values: list[Any]) -> str:
    return values[0] if values and isinstance(values[0], str) else ""
