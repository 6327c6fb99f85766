"""Programs, container engine and disk."""

import shutil
from pathlib import Path

import pytest

from base.image_names import REPO2DOCKER_VERSION
from repo2hub.doctor import machine_checks
from repo2hub.doctor.finding import Finding, Level
from tests.repo2hub.doctor.conftest import VERSIONS, Program, level


def test_the_versions_of_client_and_engine_are_reported(program: Program) -> None:
    program("docker", f"case $1 in version) echo '{VERSIONS}';; *) echo unix:///a.sock;; esac")
    finding = machine_checks.engine()
    assert level(finding) is Level.OK
    for word in ("client 28.2.2", "server 20.10.24", "unix:///a.sock", "bin/docker"):
        assert word in finding.found


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        ("permission denied while trying to connect", "sudo usermod -aG docker"),
        ("Cannot connect to the Docker daemon", "sudo systemctl start docker"),
    ],
)
def test_an_engine_that_does_not_answer_has_a_fix_for_the_reason(
    program: Program, error: str, fix: str
) -> None:
    program(
        "docker", f'echo \'{{"Client": {{"Version": "1"}}, "Server": null}}\'; echo "{error}" >&2; exit 1'
    )
    finding = machine_checks.engine()
    assert level(finding) is Level.BROKEN
    assert str(finding.fix).startswith(fix)


def test_buildx_is_found_as_a_plugin_of_docker(program: Program) -> None:
    program("docker", "exit 1")
    assert level(machine_checks.buildx()) is Level.BROKEN
    program("docker", "echo github.com/docker/buildx 0.13.1 x")
    assert machine_checks.buildx() == Finding("buildx", Level.OK, "0.13.1")


def test_another_version_of_repo2docker_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "version", lambda _name: "2024.7.0")
    finding = machine_checks.repo2docker()
    assert level(finding) is Level.BROKEN
    assert finding.fix == f"pip install 'jupyter-repo2docker=={REPO2DOCKER_VERSION}'"


def test_a_base_image_is_in_the_engine_or_can_be_pulled_or_is_missing(program: Program) -> None:
    program("docker", "exit 0")
    assert "in the engine" in machine_checks.base_image("base").found
    program("docker", "[ $1 = buildx ]")
    assert "can be pulled" in machine_checks.base_image("base").found
    program("docker", "echo no such host >&2; exit 1")
    finding = machine_checks.base_image("base")
    assert level(finding) is Level.BROKEN
    assert "no such host" in str(finding.problem)


def test_the_uv_buildpack_requires_python_in_the_base_image(program: Program) -> None:
    program("docker", "echo Python 3.11.2")
    assert machine_checks.uv_buildpack("base").found == "uses Python 3.11.2 of the base image"
    program("docker", "[ $1 = image ]")
    assert level(machine_checks.uv_buildpack("base")) is Level.BROKEN
    program("docker", "exit 1")
    assert level(machine_checks.uv_buildpack("base")) is Level.WARNING


def test_a_program_that_hangs_is_stopped(program: Program) -> None:
    program("git", "exec /bin/sleep 60")
    assert machine_checks.run_command("git", timeout=0.1).status is None


@pytest.mark.parametrize(("free", "expected"), [(2**40, "ok"), (2 * 2**30, "warning"), (2**20, "broken")])
def test_too_little_disk_space_is_reported(
    free: int, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert machine_checks.data_folder(tmp_path / "not" / "there").level == expected


@pytest.fixture
def enough_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=2**40)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)


def test_a_data_folder_must_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        finding = machine_checks.data_folder(folder)
        assert finding.level is Level.BROKEN and f"{tmp_path / 'file'} is not a folder" in str(
            finding.problem
        )


@pytest.mark.parametrize(
    ("folder", "file", "expected"),
    [(0o755, 0o644, Level.WARNING), (0o755, 0o600, Level.OK), (0o700, 0o644, Level.OK)],
)
def test_a_database_that_other_users_can_read_is_reported(
    tmp_path: Path, enough_space: None, folder: int, file: int, expected: Level
) -> None:
    (tmp_path / "repo2hub.db").touch()
    (tmp_path / "repo2hub.db").chmod(file)
    tmp_path.chmod(folder)
    assert machine_checks.data_folder(tmp_path).level is expected
