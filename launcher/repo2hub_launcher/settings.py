"""The launcher's settings, validated when the hub reads its configuration; all errors are reported at once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jupyterhub.traitlets import ByteSpecification
from traitlets import TraitError

_SERVICE = re.compile(r"[a-z0-9-]+")
_ADDRESS = re.compile(r"https?://[^\s/@?#]+(/[^\s?#]*)?")
_IMAGE = re.compile(r"[a-z0-9]\S{0,499}")
_RESOURCES = {"memory", "cpu"}


class LauncherError(ValueError):
    """The launcher's configuration is invalid. The text has one line for each error."""

    @classmethod
    def of(cls, errors: Sequence[str]) -> "LauncherError":
        return cls("Invalid configuration of repo2hub's launcher:\n  " + "\n  ".join(errors))


@dataclass(frozen=True, slots=True)
class Resources:
    """The size of a server: memory in bytes and CPU cores, None for no limit."""

    memory: int | None
    cpu: float | None


@dataclass(frozen=True)
class Settings:
    """The arguments of `setup_dockerspawner`, validated."""

    service_url: str
    service_name: str = "binder"
    fixed_images: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Resources] = field(default_factory=dict)
    build_wait: int = 3600
    allow_autostart: bool = False


def validate_settings(
    *,
    service_url: str,
    service_name: str,
    fixed_images: Mapping[str, str],
    resources: Mapping[str, Mapping[str, Any]],
    build_wait: int,
    allow_autostart: bool,
) -> Settings:
    """Return the validated settings. Raises LauncherError for all invalid arguments.

    `fixed_images` maps display names to images. `resources` maps display names to sizes such as
    {"memory": "2G", "cpu": 1}. `build_wait` is in seconds.
    """
    errors = [
        *_service_errors(service_url, service_name),
        *_image_errors(fixed_images),
        *_build_wait_errors(build_wait),
    ]
    if not isinstance(allow_autostart, bool):
        errors.append("allow_autostart: must be True or False")
    sizes: dict[str, Resources] = {}
    for name, size in _items(resources, "resources", errors):
        try:
            sizes[name] = _size(size)
        except ValueError as exc:
            errors.append(f"resources[{name!r}]: {exc}")
    if errors:
        raise LauncherError.of(errors)
    return Settings(service_url, service_name, dict(fixed_images), sizes, build_wait, allow_autostart)


def _service_errors(url: object, name: object) -> list[str]:
    errors = []
    if not (isinstance(url, str) and _ADDRESS.fullmatch(url)):
        errors.append(
            f"service_url: must be an address such as http://127.0.0.1:8585/services/binder/, not {url!r}"
        )
    if not (isinstance(name, str) and _SERVICE.fullmatch(name)):
        errors.append(f"service_name: must be the name of a service of the hub, such as binder, not {name!r}")
    return errors


def _image_errors(images: object) -> list[str]:
    errors: list[str] = []
    for name, image in _items(images, "fixed_images", errors):
        if not (isinstance(image, str) and _IMAGE.fullmatch(image)):
            errors.append(f"fixed_images[{name!r}]: must be the name of an image, not {image!r}")
    return errors


def _build_wait_errors(seconds: object) -> list[str]:
    if isinstance(seconds, int) and not isinstance(seconds, bool) and 1 <= seconds <= 24 * 3600:
        return []
    return [f"build_wait: must be from 1 to {24 * 3600} seconds, not {seconds!r}"]


def _items(value: object, option: str, errors: list[str]) -> list[tuple[str, Any]]:
    """Return the items of a mapping with names as keys; add an error to `errors` for anything else."""
    if not isinstance(value, Mapping):
        errors.append(
            f'{option}: must be a mapping with names as keys, such as {{"Small": ...}}, not {value!r}'
        )
        return []
    if not all(isinstance(name, str) and name.strip() for name in value):
        errors.append(f"{option}: every name must be a string that is not empty")
        return []
    return list(value.items())


def _size(size: object) -> Resources:
    if not isinstance(size, Mapping) or not size or size.keys() - _RESOURCES:
        raise ValueError(f'must be a size such as {{"memory": "2G", "cpu": 1}}, not {size!r}')
    memory, cpu = size.get("memory"), size.get("cpu")
    if cpu is not None and not (isinstance(cpu, int | float) and 0 < cpu <= 1024):
        raise ValueError(f"cpu must be a number of cores such as 0.5, not {cpu!r}")
    return Resources(None if memory is None else _bytes(memory), None if cpu is None else float(cpu))


def _bytes(memory: object) -> int:
    try:
        found = ByteSpecification().validate(None, memory)
    except (TraitError, ValueError, TypeError):
        found = 0
    if not isinstance(found, int) or found < 16 * 2**20:
        raise ValueError(f"memory must be a size such as 512M or 2G, not {memory!r}")
    return found
