"""Where the engine's build steps are limited, on both versions of control groups."""

from pathlib import Path

import pytest

from builder import memory
from builder.errors import InfrastructureError


def version_1(cgroups: Path) -> Path:
    (cgroups / "memory" / "docker").mkdir(parents=True)
    return cgroups / "memory" / "docker" / "buildkit" / "memory.limit_in_bytes"


def version_2(cgroups: Path) -> Path:
    (cgroups / "docker").mkdir(parents=True)
    (cgroups / "cgroup.controllers").write_text("memory")
    return cgroups / "docker" / "buildkit" / "memory.max"


@pytest.mark.parametrize(("version", "unlimited"), [(version_1, "-1"), (version_2, "max")])
def test_a_limit_is_set_before_any_build_has_run_and_lifted_again(
    tmp_path: Path, version: object, unlimited: str
) -> None:
    file: Path = version(tmp_path)  # type: ignore[operator]
    memory.limit_build_steps(2**30, tmp_path)
    assert file.read_text() == str(2**30)
    memory.lift_limit(tmp_path)
    assert file.read_text() == unlimited


def test_a_limit_that_cannot_be_enforced_is_an_error_and_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="REPO2HUB_BUILD_MEMORY_LIMIT cannot be enforced"):
        memory.limit_build_steps(2**30, tmp_path)
    memory.lift_limit(tmp_path)
    assert list(tmp_path.iterdir()) == []
