"""Parse the user options of a start, from the form, a link or the hub's API. All of it is untrusted input.

User options never name an image. They name a repository and a ref, or one of the admin's images, and the image
is looked up when the server starts. An option called "image" would also be used by DockerSpawner itself.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repo2hub_launcher.settings import Settings

MAX_TEXT_LENGTH = 300
# The names of accounts that a company manages contain an underscore.
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_GITHUB = re.compile(r"^(https?://)?(www\.)?github\.com/", re.IGNORECASE)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_OPTION_NAMES = {"repo", "ref", "commit", "fixed", "resources"}


class InvalidOptions(ValueError):
    """The options are invalid. The text tells the user what to enter instead."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A repository at a ref, or one of the admin's images (`fixed`); and a size, if the hub offers sizes.

    `commit` is the commit whose image was listed as ready; the newest image of the ref takes precedence.
    """

    repository: str | None = None
    ref: str = "HEAD"
    commit: str | None = None
    fixed: str | None = None
    resources: str | None = None

    @property
    def repository_and_ref(self) -> str:
        """The repository, and the ref if one was chosen, as text."""
        return str(self.repository) if self.ref == "HEAD" else f"{self.repository} at {self.ref}"

    def describe(self) -> str:
        """Return what is started, as the beginning of a sentence."""
        return f"The image {self.fixed}" if self.fixed else f"The image of {self.repository_and_ref}"


def options_from_form(data: Mapping[str, list[Any]]) -> dict[str, str]:
    """Return the user options of a submitted form or of a link's query. Raises InvalidOptions.

    `choice` says which part of the form is used: `fixed:<name>`, `ready:<JSON of repo, ref, commit>` or `build`.
    """
    fields = {name: _first(values) for name, values in data.items()}
    kind, _, value = fields.get("choice", "build").partition(":")
    if kind == "fixed":
        options = {"fixed": value}
    elif kind == "ready":
        options = _parse_ready_choice(value)
    elif kind == "build":
        options = {name: fields[name] for name in ("repo", "ref", "commit") if fields.get(name)}
    else:
        raise InvalidOptions("Choose an image.")
    if fields.get("resources"):
        options["resources"] = fields["resources"]
    return options


def parse_options(options: Mapping[str, Any], settings: Settings) -> Choice:
    """Return the choice that user options describe. Raises InvalidOptions."""
    if unknown := sorted(str(name)[:40] for name in options.keys() - _OPTION_NAMES):
        raise InvalidOptions(
            f"Unknown option: {', '.join(unknown)}. The options are {', '.join(sorted(_OPTION_NAMES))}."
        )
    if wrong := sorted(name for name, value in options.items() if not isinstance(value, str)):
        raise InvalidOptions(f"{', '.join(wrong)}: the value must be a string.")
    resources = _resources(options.get("resources"), settings)
    fixed, repository = options.get("fixed"), options.get("repo")
    if fixed and repository:
        raise InvalidOptions("Choose one of the hub's images or a repository, not both.")
    if fixed:
        if fixed not in settings.fixed_images:
            raise InvalidOptions("The hub no longer offers this image. Choose another one.")
        return Choice(fixed=fixed, resources=resources)
    if not repository:
        raise InvalidOptions("Choose an image, or enter a repository as org/repo.")
    commit = options.get("commit") or None
    if commit is not None and not _COMMIT.fullmatch(commit):
        raise InvalidOptions("A commit must have 40 hexadecimal digits.")
    return Choice(parse_repository(repository), parse_ref(options.get("ref", "")), commit, None, resources)


def parse_repository(text: str) -> str:
    """Return `org/repo` from that or from the repository's address at GitHub. Raises InvalidOptions."""
    found = _GITHUB.sub("", text.strip()).rstrip("/").removesuffix(".git")
    if not _REPOSITORY.fullmatch(found):
        raise InvalidOptions("Enter the repository as org/repo or as its GitHub URL.")
    return found


def parse_ref(text: str) -> str:
    """Return the ref to look up, HEAD if the text is empty. Raises InvalidOptions.

    Only what can never be a ref is refused; the service validates the rest.
    """
    ref = text.strip() or "HEAD"
    if len(ref) > MAX_TEXT_LENGTH or not ref.isprintable() or any(c.isspace() for c in ref):
        raise InvalidOptions("Enter a branch, tag or commit, or leave the field empty.")
    return ref


def _resources(name: str | None, settings: Settings) -> str | None:
    if not settings.resources:
        return None
    if not name:
        return next(iter(settings.resources))
    if name not in settings.resources:
        raise InvalidOptions("The hub no longer offers this size. Choose another one.")
    return name


def _parse_ready_choice(text: str) -> dict[str, str]:
    try:
        value = json.loads(text)
        chosen = {name: str(value[name]) for name in ("repo", "ref", "commit")}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InvalidOptions("Choose an image again.") from None
    # An image that was built for a commit has no ref, and an empty ref would mean the default branch.
    return {**chosen, "ref": chosen["ref"] or chosen["commit"]}


def _first(values: list[Any]) -> str:
    return values[0] if values and isinstance(values[0], str) else ""
