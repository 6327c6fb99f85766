"""The table of commands, the help, and what each command imports."""

import json
import os
import subprocess
import sys

import click
import pytest

from repo2hub.cli import _COMMANDS, main
from tests.repo2hub.command_line import run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_list_of_commands_has_the_first_line_of_each_help(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert (command.help or "").split("\n\n")[0].replace("\n", " ") == _COMMANDS[name][1]


def test_the_help_documents_the_exit_codes() -> None:
    code, out, _ = run("--help")
    assert code == 0
    for line in (
        "0  success",
        "2  invalid usage or settings",
        "3  not found, or no image yet",
        "4  cannot connect to the service",
    ):
        assert line in out


# None in sys.modules is how Python itself marks what cannot be imported.
_RUN_WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({blocked!r}))
from repo2hub.cli import main
main({words!r})
"""

WEB_PACKAGES = {"flask", "uvicorn", "github_webhook", "werkzeug", "jinja2"}

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
def test_a_role_runs_without_the_packages_of_the_other(role: str, other: str, blocked: set[str]) -> None:
    upgraded = run_without(blocked, "db", "upgrade")
    assert upgraded.returncode == 0, upgraded.stderr
    assert run_without(blocked, role, "--help").returncode == 0
    refused = run_without(blocked, other)
    assert refused.returncode == 2
    assert f"pip install '.[{other}]'" in refused.stderr
    result = run_without(blocked, "doctor", "--json")
    assert result.returncode == 1  # no git on the PATH
    found = {finding["part"]: finding["found"] for finding in json.loads(result.stdout)["findings"]}
    assert found["roles"] == role


def test_commands_that_use_a_service_import_no_database_and_no_settings() -> None:
    result = run_without(
        {"sqlalchemy", "pydantic", "alembic"}, "lookup", "a/b", "--server", "http://127.0.0.1:9"
    )
    assert result.returncode == 4, result.stderr
