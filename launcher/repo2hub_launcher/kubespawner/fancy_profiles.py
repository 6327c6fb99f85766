"""What jupyterhub-fancy-profiles' page sends of "Build your own image", and what of it the hub's admin allows:
pure.

Its fields arrive as KubeSpawner's user options: `image` is BUILD, `image--unlisted-choice` the name of the
image that the page has seen built, `image--unlisted-choice--repo` and `--ref` what was entered. Whoever starts
a server by the REST API can send anything in their place.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repo2hub_launcher.spawning.user_options import Choice, InvalidOptions, parse_ref, parse_repository

IMAGE_OPTION = "image"
"""The one profile option that fancy-profiles builds images for."""
IMAGE_NAME_OPTION = f"{IMAGE_OPTION}--unlisted-choice"
BUILD_CHOICE = "--extra-selectable-item"

# As the service names images: [registry/]prefix + org/repo:commit-recipe.
_IMAGE_NAME = re.compile(r"(?:.*/)?(?P<repository>[^/:]+/[^/:]+):(?P<commit>[0-9a-f]{40})-[0-9a-f]{12}")

# What the page calls for: without it the fields would not be sent.
SEND_DISABLED_FIELDS = """
<script>
  /* repo2hub: jupyterhub-fancy-profiles 0.7 disables the fields of the repository while it builds, and a
  browser does
     not send disabled fields. The hub needs them to find the newest image the next time. */
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
    """An image that is not on the admin's list: by its name, by repository and ref, or both."""

    image: str | None
    choice: Choice | None


def parse_requested_image(options: Mapping[str, Any], option: Mapping[str, Any]) -> RequestedImage | None:
    """Return what user options ask of a profile's `image` option; None where that is none of ours.

    It is ours where the option lets images be built (`dynamic_image_building`) and the image is not one of its
    listed choices. Raises BadOptions.
    """
    builds = option.get("dynamic_image_building") or {}
    unlisted = option.get("unlisted_choice") or {}
    if not (builds.get("enabled") and unlisted.get("enabled")):
        return None
    image, repository = options.get(IMAGE_NAME_OPTION), options.get(f"{IMAGE_NAME_OPTION}--repo")
    ref = options.get(f"{IMAGE_NAME_OPTION}--ref") or "HEAD"
    if not all(isinstance(given, str) for given in (image or "", repository or "", ref)):
        raise InvalidOptions("Write image, repository and ref as text.")
    if not image and options.get(IMAGE_OPTION) != BUILD_CHOICE:
        return None
    if repository and options.get(IMAGE_OPTION, BUILD_CHOICE) == BUILD_CHOICE:
        return RequestedImage(image or None, Choice(parse_repository(repository), parse_ref(ref)))
    if not image:
        raise InvalidOptions("Enter a repository such as org/repo.")
    return RequestedImage(image, None)


def has_validation_regex(option: Mapping[str, Any]) -> bool:
    """Say whether the admin has a rule for images that are not on the list."""
    return bool(option["unlisted_choice"].get("validation_regex"))


def is_allowed(option: Mapping[str, Any], image: str) -> bool:
    """Say whether the admin's rule, read as KubeSpawner reads it, lets an image through."""
    return not has_validation_regex(option) or bool(
        re.match(option["unlisted_choice"]["validation_regex"], image)
    )


def parse_image_name(image: str) -> Choice | None:
    """Return the repository and commit that an image of the service's says it is of; None for any other name.

    Only the service knows whether it speaks the truth.
    """
    found = _IMAGE_NAME.fullmatch(image)
    return Choice(found["repository"], found["commit"]) if found else None
