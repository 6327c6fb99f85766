"""Errors become messages and exit codes."""

from pathlib import Path

import pytest

from tests.repo2hub.command_line import run

pytestmark = pytest.mark.slow


def test_each_invalid_variable_is_one_line() -> None:
    wrong = {"REPO2HUB_PORT": "many", "REPO2HUB_BUILDPACKS": "conda", "REPO2HUB_BUILD_TIMEOUT": "-1"}
    code, _, err = run("up", **wrong)
    assert code == 2
    assert sorted(line.partition(":")[0] for line in err.splitlines()) == sorted(wrong)


def test_a_data_folder_that_cannot_be_created_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for words in (["up"], ["db", "upgrade"], ["builder"], ["prune"]):
        code, out, err = run(*words, REPO2HUB_DATA_DIR=str(tmp_path / "file" / "below"))
        assert (code, out, len(err.splitlines())) == (1, "", 1)
        assert f"{tmp_path / 'file' / 'below'}: Not a directory" in err and "REPO2HUB_DATA_DIR" in err


def test_an_unreachable_database_is_one_line_without_the_password() -> None:
    url = "postgresql://someone:a-password@127.0.0.1:9/nothing"
    code, out, err = run("db", "upgrade", REPO2HUB_DATABASE_URL=url)
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "a-password" not in out + err


def test_an_unreachable_service_has_its_own_exit_code() -> None:
    code, out, err = run("lookup", "org/repo", "--server", "http://127.0.0.1:9/")
    assert (code, out) == (4, "")
    assert "Cannot connect to http://127.0.0.1:9/api/v1/images/gh/org/repo/HEAD" in err
