"""The command line itself: its table, its errors, what it lets onto a terminal, and what it loads."""

import io
import json
import logging
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import click
import pytest
import requests
import structlog
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from base.sanitize import remove_controls_and_colours
from repo2hub.cli import _COMMANDS, main
from repo2hub.client.service import Event, ServiceClient, parse_events, root_cause
from repo2hub.commands.builds import Target, build
from repo2hub.output import structured_logging
from repo2hub.output.terminal import Terminal, sanitize_line
from repo2hub.startup import webhook_secret_file

pytestmark = pytest.mark.slow

SAFE = {"\t", "\n"}


@pytest.fixture(autouse=True)
def data_folder(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("REPO2HUB_DATA_DIR", str(tmp_path))


def run(*words: str, **environ: str) -> tuple[int, str, str]:
    """Run a command in this process: exit code, stdout, stderr."""
    result = CliRunner().invoke(main, words, env=environ)
    return result.exit_code, result.stdout, result.stderr


# The table of commands


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_table_of_commands_says_what_each_command_says_of_itself(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert (command.help or "").split("\n\n")[0].replace("\n", " ") == _COMMANDS[name][1]


def test_the_help_documents_the_exit_codes() -> None:
    code, out, _ = run("--help")
    assert code == 0
    for line in (
        "0  done",
        "2  wrong usage or settings",
        "3  not there (yet)",
        "4  the service cannot be reached",
    ):
        assert line in out


# Errors


def test_every_wrong_variable_gets_its_line_and_no_traceback() -> None:
    wrong = {"REPO2HUB_PORT": "many", "REPO2HUB_BUILDPACKS": "conda", "REPO2HUB_BUILD_TIMEOUT": "-1"}
    code, _, err = run("up", **wrong)
    assert code == 2
    assert sorted(line.partition(":")[0] for line in err.splitlines()) == sorted(wrong)


def test_a_wrong_option_is_named_by_its_variable() -> None:
    code, _, err = run("web", "--port", "99999")
    assert (code, err.partition(":")[0]) == (2, "REPO2HUB_PORT")


def test_up_serves_everything_and_takes_no_role() -> None:
    code, _, err = run("up", REPO2HUB_ROLE="streams")
    assert (code, err.partition(":")[0]) == (2, "REPO2HUB_ROLE")
    assert "repo2hub web" in err


def test_a_role_that_is_none_is_refused_with_those_there_are() -> None:
    code, _, err = run("web", "--role", "pages")
    assert code == 2 and all(role in err for role in ("all", "webhook", "streams"))


def test_web_and_builder_ask_for_an_upgrade_of_the_database_instead_of_failing_later(tmp_path: Path) -> None:
    for role in ("web", "builder"):
        code, _, err = run(role)
        assert code == 1
        assert "repo2hub db upgrade" in err


def test_a_data_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for words in (["up"], ["db", "upgrade"], ["builder"], ["prune"]):
        code, out, err = run(*words, REPO2HUB_DATA_DIR=str(tmp_path / "file" / "below"))
        assert (code, out, len(err.splitlines())) == (1, "", 1)
        assert f"{tmp_path / 'file' / 'below'}: Not a directory" in err and "REPO2HUB_DATA_DIR" in err


def test_db_upgrade_makes_the_database_and_may_be_repeated(tmp_path: Path) -> None:
    assert run("db", "upgrade")[0] == 0
    code, out, _ = run("db", "upgrade")
    assert (code, f"{tmp_path.name}/repo2hub.db" in out) == (0, True)


def test_an_upgrade_by_a_newer_release_is_told_and_changes_nothing(tmp_path: Path) -> None:
    run("db", "upgrade")
    upgrade_by_a_newer_release(tmp_path / "repo2hub.db")
    code, out, err = run("db", "upgrade")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "newer release" in err
    # What asks whether it may start goes on: hosts are upgraded one after another.
    code, _, err = run("prune")
    assert (code, len(err.splitlines())) == (0, 2)
    assert "newer release" in err


def upgrade_by_a_newer_release(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def test_a_database_that_does_not_answer_is_one_line_without_the_password() -> None:
    url = "postgresql://someone:a-password@127.0.0.1:9/nothing"
    code, out, err = run("db", "upgrade", REPO2HUB_DATABASE_URL=url)
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "a-password" not in out + err


def test_a_service_that_is_not_there_has_an_exit_code_of_its_own() -> None:
    code, out, err = run("lookup", "org/repo", "--server", "http://127.0.0.1:9/")
    assert (code, out) == (4, "")
    assert "http://127.0.0.1:9/api/v1/images/gh/org/repo/HEAD does not answer" in err


@pytest.mark.parametrize("target", ["repo", "a/b/c", "org/", "/repo", "org/repo@", "org repo/x"])
def test_what_is_no_repository_is_wrong_usage(target: str) -> None:
    assert run("lookup", target)[0] == 2


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("org/repo", Target("org/repo", "HEAD")),
        ("Org/Repo.js@feature/x@2", Target("Org/Repo.js", "feature/x@2")),
        ("https://github.com/org/repo", Target("org/repo", "HEAD")),
        ("https://github.com/org/repo.git@v1", Target("org/repo", "v1")),
        ("https://github.com/org/repo/", Target("org/repo", "HEAD")),
        ("https://ghe.example/org/repo@v1", Target("org/repo", "v1")),
    ],
)
def test_a_repository_may_be_written_as_a_name_or_as_an_address(
    environment: pytest.MonkeyPatch, text: str, target: Target
) -> None:
    if "ghe.example" in text:
        environment.setenv("REPO2HUB_GITHUB_URL", "https://ghe.example/")
    with click.Context(build) as context:
        parameter = next(one for one in build.params if one.name == "target")
        assert parameter.type_cast_value(context, text) is not None
        assert parameter.process_value(context, text) == target


@pytest.mark.parametrize(
    ("address", "github"),
    [
        ("https://gitlab.com/org/repo", ""),
        ("https://gitlab.com/org/group/repo@main", ""),
        ("https://gist.github.com/org/0123abcd", ""),
        ("https://github.com/org/repo", "https://ghe.example"),
    ],
)
def test_an_address_elsewhere_never_becomes_a_name_at_github(address: str, github: str) -> None:
    code, out, err = run("build", address, "--server", "http://127.0.0.1:9", REPO2HUB_GITHUB_URL=github)
    assert (code, out) == (2, "")
    said = " ".join(err.split())
    assert f"{address.split('/')[2]} is not {github or 'https://github.com'}" in said
    assert "/build/git/<URL-encoded address>/<ref>" in said


HUB = {
    "REPO2HUB_AUTH": "jupyterhub",
    "JUPYTERHUB_SERVICE_PREFIX": "/services/binder/",
    "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:28585",
}


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, "http://127.0.0.1:8585"),
        ({"REPO2HUB_PORT": "9", "REPO2HUB_BASE_URL": "x"}, "http://127.0.0.1:9/x"),
        ({"REPO2HUB_HOST": "::"}, "http://[::1]:8585"),
        ({"REPO2HUB_HOST": "192.0.2.1"}, "http://192.0.2.1:8585"),
        (HUB, "http://127.0.0.1:28585/services/binder"),
        (HUB | {"REPO2HUB_PORT": "9"}, "http://127.0.0.1:9/services/binder"),
        (HUB | {"REPO2HUB_BASE_URL": "/y/"}, "http://127.0.0.1:28585/y"),
        (HUB | {"JUPYTERHUB_SERVICE_URL": ""}, "http://127.0.0.1:8585/services/binder"),
        (HUB | {"REPO2HUB_AUTH": "token"}, "http://127.0.0.1:8585"),
        (HUB | {"REPO2HUB_SERVER": "https://hub.example/"}, "https://hub.example"),
    ],
)
def test_the_service_is_asked_where_up_starts_it_with_the_same_variables(
    environment: pytest.MonkeyPatch, variables: dict[str, str], address: str
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    asked: list[str] = []
    environment.setattr(ServiceClient, "builds", lambda self, **_filters: asked.append(self.address) or [])
    code, _, err = run("builds")
    assert (code, asked) == (0, [address]), err


def test_the_innermost_cause_is_told() -> None:
    inner = OSError("Connection refused")
    assert (
        root_cause(requests.ConnectionError(requests.ConnectionError("outer", inner))) == "Connection refused"
    )


# What may reach a terminal


@given(st.text(st.characters() | st.sampled_from("\x1b[]m;\x9b\x07\u202e\r\n0")))
@example("\x1b[2J\x1b]0;title\x07ok\x1b[31mred\x1b[0m")
@example("\x1b\x1b[m[2J")
def test_hostile_text_keeps_nothing_that_a_terminal_acts_on(text: str) -> None:
    left = set(remove_controls_and_colours(text)) - SAFE
    assert not {one for one in left if ord(one) < 32 or 127 <= ord(one) < 160 or one == "\u202e"}
    assert not {"\n", "\r", "\t", "\x1b", "\x85", "\u2028"} & set(sanitize_line(text))


def terminal_with(stream: io.StringIO, **options: object) -> Terminal:
    terminal = Terminal()
    terminal.out = Console(file=stream, force_terminal=True, color_system="256", **options)  # type: ignore[arg-type]
    return terminal


def test_a_log_keeps_its_colours_on_a_terminal_and_nothing_else() -> None:
    stream = io.StringIO()
    terminal_with(stream).log("\x1b[31mred\x1b[2J\n")
    assert stream.getvalue() == "\x1b[31mred\n\x1b[0m"


def test_no_color_is_respected_in_logs() -> None:
    stream = io.StringIO()
    terminal_with(stream, no_color=True).log("\x1b[31mred\n")
    assert stream.getvalue() == "red\n"


def test_elsewhere_than_on_a_terminal_lines_are_plain_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.log("\x1b[31mred\x1b[0m\n")
    terminal.echo("[bold]" + "x" * 300, "good")
    terminal.table(("A", "B"), [[("1\x1b[2J", "bad"), ("y" * 300, "plain")]])
    out = capsys.readouterr().out
    assert out == "red\n[bold]" + "x" * 300 + "\nA  B\n1  " + "y" * 300 + "\n"


# Events


def test_events_are_read_by_the_standards_rules() -> None:
    lines = [
        "retry: 2000",
        "",
        "id: 1.2",
        "event: log",
        'data: {"text":',
        'data: "a"}',
        "",
        ": keep-alive",
        "",
    ]
    lines += ["event:end", "data:{}", "", "event: log", 'data: {"text": "unfinished"}']
    assert list(parse_events(lines)) == [Event("log", "1.2", {"text": "a"}), Event("end", "1.2", {})]


@given(st.lists(st.text()))
def test_any_lines_give_only_whole_events(lines: list[str]) -> None:
    assert all(isinstance(event.data, dict) for event in parse_events(lines))


# The secret that `up` makes


def test_a_webhook_secret_is_made_once_and_for_this_user_alone(tmp_path: Path) -> None:
    made = webhook_secret_file.ensure_secret(tmp_path / "data")
    text = made.read_text()
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert len(text.strip()) == 64
    assert webhook_secret_file.ensure_secret(tmp_path / "data").read_text() == text
    assert list(made.parent.iterdir()) == [made]


# Logs


def logged(log_format: str, monkeypatch: pytest.MonkeyPatch, **words: object) -> str:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        structured_logging.configure(log_format)
        structlog.get_logger().info("something.happened", **words)
        logging.getLogger("library").warning("a library's %s", "words")
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers[:], logging.getLogger().level = before
    return stream.getvalue()


def test_logs_are_json_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.loads(line) for line in logged("auto", monkeypatch, build=7).splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("something.happened", "info"),
        ("a library's words", "warning"),
    ]
    assert lines[0]["build"] == 7


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_secret_is_logged_whatever_its_name(log_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = logged(log_format, monkeypatch, webhook_secret="s-1", Authorization="s-2", api_tokens=["s-3"])
    assert not {"s-1", "s-2", "s-3"} & set(out.replace('"', " ").split())
    assert out.count("***") == 3


def test_a_logged_ref_cannot_write_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = logged("console", monkeypatch, ref="refs/heads/\x1b[2Jx\nforged")
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2


# What is loaded

# None in sys.modules is how Python itself marks what cannot be imported.
_RUN_WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({blocked!r}))
from repo2hub.cli import main
main({words!r})
"""
WEB_PACKAGES = {"flask", "gunicorn", "github_webhook", "werkzeug", "jinja2"}
BUILDER_PACKAGES = {"docker", "repo2docker", "uv"}


def run_without(blocked: set[str], *words: str) -> "subprocess.CompletedProcess[str]":
    code = _RUN_WITHOUT.format(blocked=blocked, words=list(words))
    environ = {**os.environ, "PATH": "/nonexistent"}
    return subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(
    ("role", "other", "blocked"),
    [("web", "builder", BUILDER_PACKAGES), ("builder", "web", WEB_PACKAGES)],
)
def test_each_role_runs_where_the_others_packages_are_missing(
    role: str, other: str, blocked: set[str]
) -> None:
    upgraded = run_without(blocked, "db", "upgrade")
    assert upgraded.returncode == 0, upgraded.stderr
    assert run_without(blocked, role, "--help").returncode == 0
    refused = run_without(blocked, other)
    assert refused.returncode == 2
    assert f"pip install 'repo2hub[{other}]'" in refused.stderr
    asked = run_without(blocked, "doctor", "--json")
    assert asked.returncode == 1  # no git on the PATH
    found = {finding["part"]: finding["found"] for finding in json.loads(asked.stdout)["findings"]}
    assert found["roles"] == role


def test_a_question_to_a_service_loads_no_database_and_no_settings() -> None:
    asked = run_without(
        {"sqlalchemy", "pydantic", "alembic"}, "lookup", "a/b", "--server", "http://127.0.0.1:9"
    )
    assert asked.returncode == 4, asked.stderr
