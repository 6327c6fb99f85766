"""The command line of the demo: its help and its errors. tests/acceptance runs the demo itself."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from demo.__main__ import main
from repo2hub.output.errors import CommandFailed

pytestmark = pytest.mark.slow


def test_the_help_lists_the_hub() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert result.stdout.partition("Commands:\n")[2].split()[0] == "hub"
    assert CliRunner().invoke(main, ["hub", "--help"]).exit_code == 0


def test_an_expected_error_is_one_line_and_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise CommandFailed("Another demo of this user is running.")

    monkeypatch.setattr("demo.__main__.run", fail)
    result = CliRunner().invoke(main)
    assert (result.exit_code, result.stderr) == (1, "Another demo of this user is running.\n")


def test_an_invalid_setting_exits_with_2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REPO2HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("REPO2HUB_PORT", "many")
    monkeypatch.setattr("demo.run.remove_images_with_prefix", lambda _prefix: None)
    result = CliRunner().invoke(main)
    assert (result.exit_code, result.stderr.partition(":")[0]) == (2, "REPO2HUB_PORT")
