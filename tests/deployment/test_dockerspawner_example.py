"""What examples/dockerspawner/README.md has people type, typed: hub and service must know the same token."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

README = (ROOT / "examples" / "dockerspawner" / "README.md").read_text()
_, PREPARE, SERVICE, HUB = re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def terminal(tmp_path: Path) -> dict[str, str]:
    """The environment of a new terminal, where `repo2hub` and `jupyterhub` print what theirs is."""
    programs, home = tmp_path / "bin", tmp_path / "home"
    for folder in (programs, home):
        folder.mkdir()
    for name in ("repo2hub", "jupyterhub"):
        (programs / name).write_text("#!/bin/sh\nenv\n")
        (programs / name).chmod(0o755)
    return {"HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}"}


def typed(block: str, terminal: dict[str, str]) -> dict[str, str]:
    """Type a block in a new terminal and return the environment of what it starts, if anything."""
    done = subprocess.run(
        ["sh", "-euc", block], cwd=ROOT, env=terminal, capture_output=True, text=True, check=True
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def test_the_hub_and_the_service_get_the_same_token_each_in_a_terminal_of_its_own(
    terminal: dict[str, str],
) -> None:
    typed(PREPARE, terminal)
    service, hub = typed(SERVICE, terminal), typed(HUB, terminal)
    assert len(hub["HUB_SERVICE_TOKEN"]) == 64
    assert service["JUPYTERHUB_API_TOKEN"] == service["HUB_SERVICE_TOKEN"] == hub["HUB_SERVICE_TOKEN"]
    assert service["HUB_PASSWORD"] == hub["HUB_PASSWORD"] != ""


def test_nobody_else_on_the_machine_can_read_them(terminal: dict[str, str]) -> None:
    typed(PREPARE, terminal)
    folder = Path(terminal["HOME"]) / "hub"
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "hub.env")] == [0o700, 0o600]
    assert (folder / "jupyterhub_config.py").is_file()
