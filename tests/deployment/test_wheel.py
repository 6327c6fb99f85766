"""The wheel: what it contains, and that every command starts where only the wheel is installed."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from repo2hub.cli import _COMMANDS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as pip builds it for a user."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([*PIP, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], check=True)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel and our locked dependencies, but not the checkout."""
    environment = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    install = [*PIP, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True)
    # The path files of this environment, which name the checkout, are not read through that of another.
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (site_packages / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"


def run(program: Path, *arguments: str, folder: Path) -> str:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("REPO2HUB_", "PYTHON"))
    }
    result = subprocess.run(
        [program, *arguments], cwd=folder, env=clean, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_contains_the_service_and_nothing_that_needs_the_checkout(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    packages = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert packages == {"base", "builder", "db", "repo2hub", "webhook"}
    for folder in (
        "webhook/pages/templates",
        "webhook/pages/static",
        "builder/buildpacks/uv",
        "db/migrations/versions",
    ):
        files = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file()}
        expected = {name for name in files if "__pycache__" not in name}
        assert expected, folder
        assert expected <= set(names)


def test_every_command_has_its_help_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    program = installed / "repo2hub"
    out = run(program, "--help", folder=tmp_path)
    listed = [line.split()[0] for line in out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()]
    assert listed == list(_COMMANDS)
    assert "demo" not in out
    for name in listed:
        assert f"Usage: repo2hub {name}" in run(program, name, "--help", folder=tmp_path)


def test_the_installed_command_does_not_use_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = "import db, repo2hub, webhook; print(db.__file__, repo2hub.__file__, webhook.__file__)"
    out = run(installed / "python", "-P", "-c", code, folder=tmp_path)
    assert all(path.startswith(str(installed.parent)) for path in out.split())
