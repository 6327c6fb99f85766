"""A limit to the memory of build steps, set where the engine runs them: in its control group.

repo2docker's own limit is not supported with buildx, and `buildx build --memory` is ignored by the engine's own
builder. What works is the control group that all RUN steps of an engine are children of. So the limit is for
all builds of the engine together, and the builder must be able to write to the control groups of the engine's
machine. A step that goes beyond is killed (exit code 137).
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from builder.errors import InfrastructureError

log = structlog.get_logger()

CGROUPS = Path("/sys/fs/cgroup")


def limit_build_steps(limit: int, cgroups: Path = CGROUPS) -> None:
    """Limit all build steps together to `limit` bytes; raises InfrastructureError where that cannot be done.

    The group is made where no build has run since the engine started; the engine then uses it.
    """
    try:
        group, file = build_cgroup(cgroups)
        group.mkdir(exist_ok=True)
        (group / file).write_text(str(limit))
    except OSError as exc:
        raise InfrastructureError(
            "memory_limit_unenforceable",
            "REPO2HUB_BUILD_MEMORY_LIMIT cannot be enforced here: the builder must run on the engine's machine, "
            "may write its control groups, and the engine must use the cgroupfs driver "
            '("exec-opts": ["native.cgroupdriver=cgroupfs"] in its daemon.json).',
        ) from exc


def require_limit(limit: int, cgroup_driver: Callable[[], str], cgroups: Path = CGROUPS) -> None:
    """Limit all build steps before the first one; raises InfrastructureError where no build could.

    An engine makes its control group with its first container. So one that has none yet, or is away, is waited
    for: each build sets the limit again.
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
    """Tell whether the engine leaves control groups to another, as to systemd."""
    try:
        return cgroup_driver() != "cgroupfs"
    except InfrastructureError:
        return False


def remove_limit(cgroups: Path = CGROUPS) -> None:
    """Take back what an earlier builder has set; nothing happens where the group is not ours to change."""
    with suppress(OSError):
        group, file = build_cgroup(cgroups)
        if group.is_dir():
            (group / file).write_text("max" if file == "memory.max" else "-1")


def build_cgroup(cgroups: Path = CGROUPS) -> tuple[Path, str]:
    """Return the group, which may not exist yet, and the name of its limit's file, of version 1 or 2.

    Raises OSError where no engine's control group is in sight.
    """
    if (cgroups / "memory" / "docker").is_dir():
        return cgroups / "memory" / "docker" / "buildkit", "memory.limit_in_bytes"
    if (cgroups / "docker").is_dir() and (cgroups / "cgroup.controllers").is_file():
        return cgroups / "docker" / "buildkit", "memory.max"
    raise FileNotFoundError(f"no control group of a container engine below {cgroups}")
