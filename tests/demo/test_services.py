"""The folder and the environment of the demo. tests/acceptance runs its services."""

import os
from pathlib import Path

import pytest

from demo import services
from repo2hub.output.errors import CommandFailed


def test_two_demos_cannot_use_one_folder(tmp_path: Path) -> None:
    with services._exclusive_lock(tmp_path / "demo"):
        with pytest.raises(CommandFailed, match="Another demo"), services._exclusive_lock(tmp_path / "demo"):
            pytest.fail("the lock was taken twice")
    with services._exclusive_lock(tmp_path / "demo"):
        pass


def test_records_are_deleted_and_the_rest_of_the_folder_is_kept(tmp_path: Path) -> None:
    for name in ("repo2hub.db", "repo2hub.db-wal", "web.log", "webhook-secret"):
        (tmp_path / name).touch()
    services._delete_records(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["webhook-secret"]


def test_only_some_settings_of_the_caller_are_kept(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    # setenv, so that the changes of os.environ are undone after the test.
    for name in (
        "DATABASE_URL",
        "BASE_IMAGE",
        "PORT",
        "DATA_DIR",
        "GITHUB_URL",
        "IMAGE_PREFIX",
        "BUILDPACKS",
    ):
        environment.setenv(f"REPO2HUB_{name}", "of the caller")
    for name in ("WEBHOOK_SECRETS_FILE", "LOG_FORMAT", "AUTH"):
        environment.setenv(f"REPO2HUB_{name}", "of the caller")
    services._set_environment(tmp_path, "http://127.0.0.1:9", tmp_path / "secret", {"AUTH": "jupyterhub"})
    ours = {name: value for name, value in os.environ.items() if name.startswith("REPO2HUB_")}
    kept = {name for name, value in ours.items() if value == "of the caller"}
    assert kept == {"REPO2HUB_BASE_IMAGE", "REPO2HUB_PORT"}
    assert "REPO2HUB_DATABASE_URL" not in ours
    assert (ours["REPO2HUB_AUTH"], ours["REPO2HUB_DATA_DIR"]) == ("jupyterhub", str(tmp_path))
