"""What a hub's admin sets, checked when the hub reads its configuration, with every wrong value named at once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyterhub.traitlets import ByteSpecification
from traitlets import TraitError

_SERVICE = re.compile(r"[a-z0-9-]+")
_ADDRESS = re.compile(r"https?://[^\s/@?#]+(/[^\s?#]*)?")
_IMAGE = re.compile(r"[a-z0-9]\S{0,499}")
_RESOURCES = {"memory", "cpu"}


class LauncherError(ValueError):
    """The configuration of the launcher is wrong; its text has one line for each value."""


@dataclass(frozen=True, slots=True)
class Resources:
    """A size of server: memory in bytes and CPU cores, None for no limit."""

    memory: int | None
    cpu: float | None


@dataclass(frozen=True)
class Settings:
    """See `validate_settings` for what each is."""

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
    """Return the settings as a record.

    `fixed_images` maps what people read to image names. `resources` maps what people read to a size such as
    {"memory": "2G", "cpu": 1}. `build_wait` is in seconds. Raises LauncherError.
    """
    wrong = [
        *_service_errors(service_url, service_name),
        *_image_errors(fixed_images),
        *_build_wait_errors(build_wait),
    ]
    if not isinstance(allow_autostart, bool):
        wrong.append("allow_autostart: True or False")
    sizes: dict[str, Resources] = {}
    for name, size in _items(resources, "resources", wrong):
        try:
            sizes[name] = _size(size)
        except ValueError as exc:
            wrong.append(f"resources[{name!r}]: {exc}")
    if wrong:
        raise LauncherError("repo2hub's launcher is configured wrongly:\n  " + "\n  ".join(wrong))
    return Settings(service_url, service_name, dict(fixed_images), sizes, build_wait, allow_autostart)


def _service_errors(url: object, name: object) -> list[str]:
    wrong = []
    if not (isinstance(url, str) and _ADDRESS.fullmatch(url)):
        wrong.append(
            f"service_url: write an address such as http://127.0.0.1:8585/services/binder/, not {url!r}"
        )
    if not (isinstance(name, str) and _SERVICE.fullmatch(name)):
        wrong.append(f"service_name: the service's name on the hub, such as binder, not {name!r}")
    return wrong


def _image_errors(images: object) -> list[str]:
    wrong: list[str] = []
    for name, image in _items(images, "fixed_images", wrong):
        if not (isinstance(image, str) and _IMAGE.fullmatch(image)):
            wrong.append(f"fixed_images[{name!r}]: write the name of an image, not {image!r}")
    return wrong


def _build_wait_errors(seconds: object) -> list[str]:
    if isinstance(seconds, int) and not isinstance(seconds, bool) and 1 <= seconds <= 24 * 3600:
        return []
    return [f"build_wait: seconds, from 1 to {24 * 3600}, not {seconds!r}"]


def _items(given: object, what: str, wrong: list[str]) -> list[tuple[str, Any]]:
    """Return what a mapping holds; what is no mapping of names is noted as wrong."""
    if not isinstance(given, Mapping):
        wrong.append(f'{what}: a mapping of names, such as {{"Small": ...}}, not {given!r}')
        return []
    if not all(isinstance(name, str) and name.strip() for name in given):
        wrong.append(f"{what}: every name is a text that people read")
        return []
    return list(given.items())


def _size(size: object) -> Resources:
    if not isinstance(size, Mapping) or not size or size.keys() - _RESOURCES:
        raise ValueError(f'write a size such as {{"memory": "2G", "cpu": 1}}, not {size!r}')
    memory, cpu = size.get("memory"), size.get("cpu")
    if cpu is not None and not (isinstance(cpu, int | float) and 0 < cpu <= 1024):
        raise ValueError(f"cpu is a number of cores, such as 0.5, not {cpu!r}")
    return Resources(None if memory is None else _bytes(memory), None if cpu is None else float(cpu))


def _bytes(memory: object) -> int:
    try:
        found = ByteSpecification().validate(None, memory)
    except (TraitError, ValueError, TypeError):
        found = 0
    if not isinstance(found, int) or found < 16 * 2**20:
        raise ValueError(f"memory is a size such as 512M or 2G, not {memory!r}")
    return found
