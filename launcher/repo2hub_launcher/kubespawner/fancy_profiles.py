"""Parse what "Build your own image" of jupyterhub-fancy-profiles sends, and check what the hub's admin allows.

The fields are KubeSpawner's user options: `image` is BUILD_CHOICE, `image--unlisted-choice` is the name of the
image that the page has seen built, `image--unlisted-choice--repo` and `--ref` are what the user entered. A
start by the hub's API can send anything instead.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repo2hub_launcher.spawning.user_options import Choice, InvalidOptions, parse_ref, parse_repository

IMAGE_OPTION = "image"
"""The profile option for which fancy-profiles builds images."""
IMAGE_NAME_OPTION = f"{IMAGE_OPTION}--unlisted-choice"
BUILD_CHOICE = "--extra-selectable-item"

# The names of the service's images: [registry/]prefix + org/repo:commit-recipe.
_IMAGE_NAME = re.compile(r"(?:.*/)?(?P<repository>[^/:]+/[^/:]+):(?P<commit>[0-9a-f]{40})-[0-9a-f]{12}")

SEND_DISABLED_FIELDS = """
<script>
  /* repo2hub: jupyterhub-fancy-profiles 0.7 disables the fields of the repository during a build, and browsers do
     not send disabled fields. The hub needs them to find the newest image at the next start. */
  document.addEventListener("formdata", (event) => {
    const fields = "input[id$='--unlisted-choice--repo'], input[id$='--unlisted-choice--ref']";
    for (const field of event.target.querySelectorAll(fields)) {
      if (field.disabled) event.formData.set(field.name, field.value);
    }
  });
</script>
"""


@dataclass(frozen=True, slots=True)
class RequestedImage:
    """An image that is not on the admin's list: by its name, by repository and ref, or by both."""

    image: str | None
    choice: Choice | None


def parse_requested_image(options: Mapping[str, Any], option: Mapping[str, Any]) -> RequestedImage | None:
    """Return the image that user options request from a profile's `image` option. Raises InvalidOptions.

    None if the option does not build images (`dynamic_image_building`), or if one of its listed choices was
    selected.
    """
    builds = option.get("dynamic_image_building") or {}
    unlisted = option.get("unlisted_choice") or {}
    if not (builds.get("enabled") and unlisted.get("enabled")):
        return None
    image, repository = options.get(IMAGE_NAME_OPTION), options.get(f"{IMAGE_NAME_OPTION}--repo")
    ref = options.get(f"{IMAGE_NAME_OPTION}--ref") or "HEAD"
    if not all(isinstance(value, str) for value in (image or "", repository or "", ref)):
        raise InvalidOptions("Image, repository and ref must be strings.")
    if not image and options.get(IMAGE_OPTION) != BUILD_CHOICE:
        return None
    if repository and options.get(IMAGE_OPTION, BUILD_CHOICE) == BUILD_CHOICE:
        return RequestedImage(image or None, Choice(parse_repository(repository), parse_ref(ref)))
    if not image:
        raise InvalidOptions("Enter a repository as org/repo.")
    return RequestedImage(image, None)


def has_validation_regex(option: Mapping[str, Any]) -> bool:
    """Return whether the admin restricts images that are not on the list."""
    return bool(option["unlisted_choice"].get("validation_regex"))


def is_allowed(option: Mapping[str, Any], image: str) -> bool:
    """Return whether the admin's validation_regex, applied as KubeSpawner does, allows an image."""
    return not has_validation_regex(option) or bool(
        re.match(option["unlisted_choice"]["validation_regex"], image)
    )


def parse_image_name(image: str) -> Choice | None:
    """Return the repository and commit in the name of one of the service's images; None for any other name.

    Anyone can write such a name: only the service knows whether it built that image.
    """
    found = _IMAGE_NAME.fullmatch(image)
    return Choice(found["repository"], found["commit"]) if found else None
