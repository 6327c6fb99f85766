"""`repo2hub doctor`: print the findings of all checks."""

import os
import sys
from dataclasses import asdict

import click

from repo2hub.doctor.all_checks import run_checks
from repo2hub.doctor.finding import Finding, Level, nothing_is_broken
from repo2hub.exit_codes import ExitCode
from repo2hub.output.terminal import Terminal, Tone

_LEVEL_TONES: dict[Level, Tone] = {Level.OK: "good", Level.WARNING: "warn", Level.BROKEN: "bad"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Check this machine and print how to fix what is wrong.

    The exit code is 1 if something is broken. Warnings do not change it.
    """
    terminal = Terminal()
    with terminal.waiting("checking ..."):
        findings = run_checks(os.environ)
    is_ok = nothing_is_broken(findings)
    if as_json:
        terminal.json({"ok": is_ok, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            _print_finding(terminal, finding)
    sys.exit(ExitCode.SUCCESS if is_ok else ExitCode.FAILED)


def _print_finding(terminal: Terminal, finding: Finding) -> None:
    terminal.echo(f"{finding.level:8}{finding.part:16}{finding.found}", _LEVEL_TONES[finding.level])
    if finding.problem:
        terminal.echo(f"{'':8}{finding.problem}")
    if finding.fix:
        terminal.echo(f"{'':8}$ {finding.fix}", "bold")
