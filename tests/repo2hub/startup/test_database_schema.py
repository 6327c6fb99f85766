"""Processes require the schema of their release, and accept that of the next one."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.repo2hub.command_line import run

pytestmark = pytest.mark.slow


def test_web_and_builder_do_not_start_on_an_outdated_schema(tmp_path: Path) -> None:
    for role in ("web", "builder"):
        code, _, err = run(role)
        assert code == 1
        assert "repo2hub db upgrade" in err


def test_a_database_migrated_by_a_newer_release_is_left_unchanged_with_a_warning(tmp_path: Path) -> None:
    run("db", "upgrade")
    migrate_with_a_newer_release(tmp_path / "repo2hub.db")
    code, out, err = run("db", "upgrade")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "newer release" in err
    # Processes start anyway, because hosts are upgraded one after another.
    code, _, err = run("prune")
    assert (code, len(err.splitlines())) == (0, 2)
    assert "newer release" in err


def migrate_with_a_newer_release(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
