"""`repo2hub db upgrade` creates the database."""

from pathlib import Path

import pytest

from tests.repo2hub.command_line import run

pytestmark = pytest.mark.slow


def test_db_upgrade_creates_the_database_and_can_be_repeated(tmp_path: Path) -> None:
    assert run("db", "upgrade")[0] == 0
    code, out, _ = run("db", "upgrade")
    assert (code, f"{tmp_path.name}/repo2hub.db" in out) == (0, True)
