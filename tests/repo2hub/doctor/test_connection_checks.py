"""Database, GitHub, registry and hub."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from db.database import Database
from repo2hub.doctor import connection_checks
from repo2hub.doctor.finding import Level
from tests.repo2hub.doctor.conftest import level


def test_checking_a_database_does_not_create_it(tmp_path: Path) -> None:
    path = tmp_path / "data" / "repo2hub.db"
    assert level(connection_checks.database(f"sqlite:///{path}")) is Level.WARNING
    assert not path.parent.exists()


def test_a_database_must_have_the_schema_of_this_release(tmp_path: Path, sqlite_url: str) -> None:
    assert level(connection_checks.database(sqlite_url)) is Level.OK
    empty = tmp_path / "empty.db"
    empty.touch()
    finding = connection_checks.database(f"sqlite:///{empty}")
    assert (finding.level, finding.fix) == (Level.BROKEN, "repo2hub db upgrade")
    database = Database(sqlite_url)
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.dispose()
    finding = connection_checks.database(sqlite_url)
    assert finding.level is Level.WARNING and "newer release" in str(finding.problem)


def test_an_unreachable_database_is_broken_and_its_password_hidden() -> None:
    finding = connection_checks.database("postgresql+psycopg://me:a-password@127.0.0.1:9/x")
    assert level(finding) is Level.BROKEN
    assert "a-password" not in str(finding)


def test_github_is_ok_unless_it_fails(serve: Callable[..., str]) -> None:
    assert level(connection_checks.github(serve(200))) is Level.OK
    assert level(connection_checks.github(serve(404))) is Level.OK
    assert level(connection_checks.github(serve(502))) is Level.WARNING
    finding = connection_checks.github("http://127.0.0.1:9")
    assert level(finding) is Level.BROKEN
    assert "Connection refused" in str(finding.problem)


def test_a_registry_answers_or_docker_has_a_login_for_it(
    serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert level(connection_checks.registry(serve(200))) is Level.OK
    assert level(connection_checks.registry(serve(404))) is Level.BROKEN
    assert level(connection_checks.registry("http://127.0.0.1:9")) is Level.BROKEN
    private = serve(401)
    host = private.removeprefix("http://")
    assert connection_checks.registry(f"{private}/team").fix == f"docker login {host}"
    login = {"auths": {host: {"auth": base64.b64encode(b"me:a-password").decode()}}}
    (tmp_path / "config.json").write_text(json.dumps(login))
    finding = connection_checks.registry(f"{private}/team")
    assert level(finding) is Level.OK
    assert "a-password" not in str(finding)


def test_a_hub_must_know_the_service_by_its_token(serve: Callable[..., str]) -> None:
    # One response for both requests, /hub/api/ and /hub/api/user.
    known = connection_checks.hub(serve(200, b'{"version": "5.4.0", "name": "binder"}'), "token")
    assert (level(known), "JupyterHub 5.4.0" in known.found, "binder" in known.found) == (
        Level.OK,
        True,
        True,
    )
    unknown = connection_checks.hub(serve(403, b'{"version": "5.4.0", "name": "binder"}'), "a-token")
    assert level(unknown) is Level.BROKEN and "JUPYTERHUB_API_TOKEN" in str(unknown.problem)
    assert "a-token" not in str(unknown)


def test_an_address_that_is_not_the_api_of_a_hub_is_broken(serve: Callable[..., str]) -> None:
    finding = connection_checks.hub(serve(200, b"<html>"), "token")
    assert level(finding) is Level.BROKEN and "not the API of a hub" in str(finding.problem)
    finding = connection_checks.hub("http://127.0.0.1:9/hub/api", "token")
    assert level(finding) is Level.BROKEN and "Connection refused" in str(finding.problem)
