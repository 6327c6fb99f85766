"""`repo2hub doctor`: its output and its exit code."""

import json

import pytest
from click.testing import CliRunner

from repo2hub.cli import main
from repo2hub.commands import doctor
from repo2hub.doctor.finding import Finding, Level


def test_the_exit_code_is_1_only_if_something_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, code in ((Level.OK, 0), (Level.WARNING, 0), (Level.BROKEN, 1)):
        monkeypatch.setattr(doctor, "run_checks", lambda _environ, found=found: [Finding("git", found, "1")])
        result = CliRunner().invoke(main, ["doctor", "--json"])
        assert (result.exit_code, json.loads(result.stdout)["ok"]) == (code, code == 0)


def test_a_finding_is_printed_with_its_level_problem_and_fix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finding = Finding("git", Level.BROKEN, "2.0\x1b[2J", "too old", "apt upgrade git")
    monkeypatch.setattr(doctor, "run_checks", lambda _environ: [finding])
    out = CliRunner().invoke(main, ["doctor"]).stdout
    assert out.splitlines() == ["broken  git             2.0", "        too old", "        $ apt upgrade git"]
