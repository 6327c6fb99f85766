"""Limit the memory of build steps through the engine's cgroup.

repo2docker's own limit does not work with buildx, and the engine's own builder ignores `buildx build --memory`.
What works is the cgroup that is the parent of all RUN steps of an engine. So the limit applies to all builds of
the engine together, and the builder must be able to write the cgroups of the engine's machine. The kernel kills
a step that exceeds the limit (exit code 137).
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from builder.errors import InfrastructureError

log = structlog.get_logger()

CGROUPS = Path("/sys/fs/cgroup")


def limit_build_steps(limit: int, cgroups: Path = CGROUPS) -> None:
    """Limit all build steps together to `limit` bytes. Raises InfrastructureError if that is not possible.

    If no build has run since the engine started, this makes the cgroup, which the engine then uses.
    """
    try:
        group, file = build_cgroup(cgroups)
        group.mkdir(exist_ok=True)
        (group / file).write_text(str(limit))
    except OSError as exc:
        raise InfrastructureError(
            "memory_limit_unenforceable",
            "REPO2HUB_BUILD_MEMORY_LIMIT cannot be enforced. The builder must run on the engine's machine and "
            "be able to write its cgroups, and the engine must use the cgroupfs driver "
            '("exec-opts": ["native.cgroupdriver=cgroupfs"] in its daemon.json).',
        ) from exc


def require_limit(limit: int, cgroup_driver: Callable[[], str], cgroups: Path = CGROUPS) -> None:
    """Limit all build steps before the first build. Raises InfrastructureError if no build could do so.

    An engine makes its cgroup with its first container. If it has none yet, or does not answer, this only logs a
    warning: each build sets the limit again.
    """
    try:
        limit_build_steps(limit, cgroups)
    except InfrastructureError as exc:
        if _has_cgroup(cgroups) or _uses_other_cgroup_driver(cgroup_driver):
            raise
        log.warning("worker.memory_not_limited_yet", error=exc.message)


def _has_cgroup(cgroups: Path) -> bool:
    try:
        build_cgroup(cgroups)
    except OSError:
        return False
    return True


def _uses_other_cgroup_driver(cgroup_driver: Callable[[], str]) -> bool:
    """Return whether something else, such as systemd, manages the engine's cgroups."""
    try:
        return cgroup_driver() != "cgroupfs"
    except InfrastructureError:
        return False


def remove_limit(cgroups: Path = CGROUPS) -> None:
    """Remove the limit of an earlier builder; do nothing where the cgroup cannot be written."""
    with suppress(OSError):
        group, file = build_cgroup(cgroups)
        if group.is_dir():
            (group / file).write_text("max" if file == "memory.max" else "-1")


def build_cgroup(cgroups: Path = CGROUPS) -> tuple[Path, str]:
    """Return the cgroup of build steps, which may not exist yet, and the name of its limit file (cgroup v1 or v2).

    Raises OSError if there is no engine's cgroup.
    """
    if (cgroups / "memory" / "docker").is_dir():
        return cgroups / "memory" / "docker" / "buildkit", "memory.limit_in_bytes"
    if (cgroups / "docker").is_dir() and (cgroups / "cgroup.controllers").is_file():
        return cgroups / "docker" / "buildkit", "memory.max"
    raise FileNotFoundError(f"no cgroup of a container engine below {cgroups}")
