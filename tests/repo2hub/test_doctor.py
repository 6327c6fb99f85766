"""The doctor: each part when it is well, when it is missing, and the command that mends it.

Programs are stood in for by shell scripts on PATH, and services by small HTTP servers: what it asks is real.
"""

import base64
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr
from sqlalchemy import text

from base.image_names import REPO2DOCKER_VERSION
from builder.settings import BuilderSettings
from db.database import Database
from repo2hub.cli import main
from repo2hub.doctor import connection_checks, diagnosis, machine_checks, settings_checks
from repo2hub.doctor.diagnosis import check_memory_limit, check_webhook_secret, run_checks
from repo2hub.doctor.machine_checks import Finding, Level
from repo2hub.startup import webhook_secret_file
from webhook.settings import Role, WebSettings

VERSIONS = json.dumps({"Client": {"Version": "28.2.2"}, "Server": {"Version": "20.10.24"}})
Program = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def nothing_of_this_machine(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("DOCKER_"):
            environment.delenv(name)
    environment.setenv("REPO2HUB_DATA_DIR", str(tmp_path / "data"))
    environment.setenv("REPO2HUB_GITHUB_URL", "http://127.0.0.1:9")


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Program:
    """Put a program on an otherwise empty PATH; its script is given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


@pytest.fixture
def serve() -> Iterator[Callable[[int], str]]:
    """Answer every request with a status; the server's address comes back."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def level(finding: Finding | None) -> Level | None:
    return finding.level if finding else None


def part(findings: list[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.part == name)


# The whole


def test_with_nothing_installed_every_part_is_named_with_what_mends_it(program: Program) -> None:
    findings = run_checks({})
    for name in ("git", "engine", "buildx", "base image", "GitHub"):
        assert part(findings, name).level is Level.BROKEN
        assert part(findings, name).fix
    assert part(findings, "Python").level is Level.OK
    assert part(findings, "repo2docker").level is Level.OK


def test_only_what_is_broken_makes_the_exit_code_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, code in ((Level.OK, 0), (Level.WARNING, 0), (Level.BROKEN, 1)):
        monkeypatch.setattr(
            diagnosis, "run_checks", lambda _environ, found=found: [Finding("git", found, "1")]
        )
        result = CliRunner().invoke(main, ["doctor", "--json"])
        assert (result.exit_code, json.loads(result.stdout)["ok"]) == (code, code == 0)


def test_a_person_reads_the_level_the_version_the_problem_and_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finding = Finding("git", Level.BROKEN, "2.0\x1b[2J", "too old", "apt upgrade git")
    monkeypatch.setattr(diagnosis, "run_checks", lambda _environ: [finding])
    out = CliRunner().invoke(main, ["doctor"]).stdout
    assert out.splitlines() == ["broken  git             2.0", "        too old", "        $ apt upgrade git"]


def test_a_check_that_hangs_or_crashes_hides_no_other() -> None:
    hang = threading.Event()

    def crash() -> Finding:
        raise RuntimeError("oh")

    found = diagnosis._run_in_threads(
        [
            ("slow", lambda: machine_checks.ok("slow", "x") if hang.wait(30) else None),
            ("crashing", crash),
            ("well", lambda: machine_checks.ok("well", "1")),
        ],
        limit=0.2,
    )
    hang.set()
    assert [(one.part, one.level) for one in found] == [
        ("slow", Level.BROKEN),
        ("crashing", Level.BROKEN),
        ("well", Level.OK),
    ]
    assert "no answer within 0.2 s" in str(found[0].problem)
    assert "oh" in str(found[1].problem)


# Settings


def test_a_misspelt_variable_is_named_with_the_one_that_was_meant() -> None:
    environ = {"REPO2HUB_WEBHOOK_SECRT": "x", "REPO2HUB_PORT": "1", "HOME": "/", "REPO2HUB_QQQQ": "x"}
    findings = settings_checks.check_unknown_variables(environ, settings_checks.known_variables())
    assert [finding.found for finding in findings] == ["REPO2HUB_QQQQ", "REPO2HUB_WEBHOOK_SECRT"]
    assert "REPO2HUB_WEBHOOK_SECRETS was meant?" in str(findings[1].problem)


@pytest.mark.parametrize(
    "name", ["SERVER", "API_TOKEN", "GITHUB_TOKEN_FILE", "DATABASE_URL_FILE", "BUILD_SLOTS"]
)
def test_variables_that_mean_something_are_known(name: str) -> None:
    assert name in settings_checks.known_variables()


def test_every_wrong_variable_is_found_and_the_rest_still_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = {
        "REPO2HUB_PORT": "many",
        "REPO2HUB_BUILD_MEMORY_LIMIT": "lots",
        "REPO2HUB_GITHUB_TOKEN_FILE": "/nonexistent",
        "REPO2HUB_AUTH": "token",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    findings = run_checks(os.environ)
    broken = {one.found for one in findings if one.part == "settings" and one.level is Level.BROKEN}
    assert broken == set(wrong) - {"REPO2HUB_AUTH"} | {"REPO2HUB_API_TOKENS"}  # which it needs
    assert str(tmp_path / "data") in part(findings, "data folder").found


def test_in_the_place_of_a_wrong_address_no_other_database_is_looked_at(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REPO2HUB_DATA_DIR", str(tmp_path))
    assert "database" in {finding.part for finding in run_checks(os.environ)}
    monkeypatch.setenv("REPO2HUB_DATABASE_URL", "postgres:/typo")
    assert "database" not in {finding.part for finding in run_checks(os.environ)}


def test_a_file_that_cannot_be_read_is_looked_at_and_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["REPO2HUB_API_TOKENS_FILE: cannot read /run/a b: No such file or directory"]
    (finding,) = settings_checks.check_invalid_variables(lines, {"REPO2HUB_API_TOKENS_FILE": "/run/a b"})
    assert (finding.found, finding.fix) == ("REPO2HUB_API_TOKENS_FILE", "ls -l '/run/a b'")


def test_a_webhook_secret_may_be_set_made_short_or_missing(tmp_path: Path) -> None:
    def found(*secrets: str) -> Finding:
        return check_webhook_secret(
            WebSettings(data_dir=tmp_path, webhook_secrets=tuple(SecretStr(one) for one in secrets))
        )

    assert level(found()) is Level.WARNING
    assert level(found("x" * 32)) is Level.OK
    assert level(found("x" * 32, "short")) is Level.WARNING
    made = webhook_secret_file.ensure_secret(tmp_path)
    assert level(found()) is Level.OK
    assert made.read_text().strip() not in str(found())
    made.unlink()
    made.mkdir()
    assert level(found()) is Level.BROKEN and str(made) in found().found
    assert level(found("x" * 32)) is Level.OK


# Programs


def test_client_and_server_of_the_engine_are_both_named(program: Program) -> None:
    program("docker", f"case $1 in version) echo '{VERSIONS}';; *) echo unix:///a.sock;; esac")
    finding = machine_checks.engine()
    assert level(finding) is Level.OK
    for word in ("client 28.2.2", "server 20.10.24", "unix:///a.sock", "bin/docker"):
        assert word in finding.found


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("permission denied while trying to connect", "sudo usermod -aG docker"),
        ("Cannot connect to the Docker daemon", "sudo systemctl start docker"),
    ],
)
def test_an_engine_that_does_not_answer_gets_the_command_for_its_reason(
    program: Program, said: str, fix: str
) -> None:
    program("docker", f'echo \'{{"Client": {{"Version": "1"}}, "Server": null}}\'; echo "{said}" >&2; exit 1')
    finding = machine_checks.engine()
    assert level(finding) is Level.BROKEN
    assert str(finding.fix).startswith(fix)


def test_buildx_is_looked_for_as_repo2docker_does(program: Program) -> None:
    program("docker", "exit 1")
    assert level(machine_checks.buildx()) is Level.BROKEN
    program("docker", "echo github.com/docker/buildx 0.13.1 x")
    assert machine_checks.buildx() == Finding("buildx", Level.OK, "0.13.1")


def test_another_repo2docker_than_the_recipes_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "version", lambda _name: "2024.7.0")
    finding = machine_checks.repo2docker()
    assert level(finding) is Level.BROKEN
    assert finding.fix == f"pip install 'jupyter-repo2docker=={REPO2DOCKER_VERSION}'"


def test_a_base_image_may_be_here_or_to_be_pulled_or_neither(program: Program) -> None:
    program("docker", "exit 0")
    assert "in the engine" in machine_checks.base_image("base").found
    program("docker", "[ $1 = buildx ]")
    assert "can be pulled" in machine_checks.base_image("base").found
    program("docker", "echo no such host >&2; exit 1")
    finding = machine_checks.base_image("base")
    assert level(finding) is Level.BROKEN
    assert "no such host" in str(finding.problem)


def test_the_fast_lane_needs_a_python_in_the_base_image(program: Program) -> None:
    program("docker", "echo Python 3.11.2")
    assert machine_checks.uv_buildpack("base").found == "on Python 3.11.2 of the base image"
    program("docker", "[ $1 = image ]")
    assert level(machine_checks.uv_buildpack("base")) is Level.BROKEN
    program("docker", "exit 1")
    assert level(machine_checks.uv_buildpack("base")) is Level.WARNING


def test_a_program_that_never_answers_is_given_up(program: Program) -> None:
    program("git", "exec /bin/sleep 60")
    assert machine_checks.run_command("git", limit=0.1).status is None


@pytest.mark.parametrize(("free", "expected"), [(2**40, "ok"), (2 * 2**30, "warning"), (2**20, "broken")])
def test_a_full_disk_is_told_before_a_build_finds_it(
    free: int, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert machine_checks.data_folder(tmp_path / "not" / "there").level == expected


@pytest.fixture
def enough_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=2**40)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)


def test_a_data_folder_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        finding = machine_checks.data_folder(folder)
        assert finding.level is Level.BROKEN and f"{tmp_path / 'file'} is no folder" in str(finding.problem)


@pytest.mark.parametrize(
    ("folder", "file", "expected"),
    [(0o755, 0o644, Level.WARNING), (0o755, 0o600, Level.OK), (0o700, 0o644, Level.OK)],
)
def test_a_database_that_others_can_read_is_told(
    tmp_path: Path, enough_space: None, folder: int, file: int, expected: Level
) -> None:
    (tmp_path / "repo2hub.db").touch()
    (tmp_path / "repo2hub.db").chmod(file)
    tmp_path.chmod(folder)
    assert machine_checks.data_folder(tmp_path).level is expected


def test_a_memory_limit_needs_the_engines_control_group(tmp_path: Path) -> None:
    assert level(check_memory_limit(None, tmp_path)) is Level.OK
    assert level(check_memory_limit(2**30, tmp_path)) is Level.BROKEN
    (tmp_path / "memory" / "docker").mkdir(parents=True)
    assert level(check_memory_limit(2**30, tmp_path)) is Level.OK


# Services


def test_a_database_that_is_not_made_yet_is_not_made_by_looking(tmp_path: Path) -> None:
    path = tmp_path / "data" / "repo2hub.db"
    assert level(connection_checks.database(f"sqlite:///{path}")) is Level.WARNING
    assert not path.parent.exists()


def test_a_database_is_held_against_this_releases_tables(tmp_path: Path, sqlite_url: str) -> None:
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


def test_a_database_that_does_not_answer_is_broken_and_its_password_stays_hidden() -> None:
    finding = connection_checks.database("postgresql+psycopg://me:a-password@127.0.0.1:9/x")
    assert level(finding) is Level.BROKEN
    assert "a-password" not in str(finding)


def test_github_may_answer_anything_but_a_failure(serve: Callable[[int], str]) -> None:
    assert level(connection_checks.github(serve(200))) is Level.OK
    assert level(connection_checks.github(serve(404))) is Level.OK
    assert level(connection_checks.github(serve(502))) is Level.WARNING
    finding = connection_checks.github("http://127.0.0.1:9")
    assert level(finding) is Level.BROKEN
    assert "Connection refused" in str(finding.problem)


@pytest.mark.parametrize(
    ("role", "parts"),
    [("all", ["webhook secret"]), ("webhook", ["webhook secret", "web role"]), ("streams", ["web role"])],
)
def test_each_role_of_the_web_is_asked_for_what_it_needs(role: Role, parts: list[str]) -> None:
    checks_of_role = diagnosis._web_checks(WebSettings(role=role))
    assert [name for name, _ in checks_of_role] == parts
    for name, check in checks_of_role:
        finding = check()
        assert finding is not None
        if name == "web role":
            assert finding.found.startswith(f"{role}:") and finding.level is Level.OK


def test_a_registry_answers_or_asks_for_a_login_that_docker_has(
    serve: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
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


def test_a_builder_with_a_registry_and_the_fast_lane_is_asked_for_both() -> None:
    settings = BuilderSettings(registry_url="http://127.0.0.1:9", buildpacks=("uv", "standard"))
    parts = [name for name, _ in diagnosis._builder_checks(settings)]
    assert {"registry", "uv"} <= set(parts)
