"""What a check of `repo2hub doctor` returns."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, but not for everyone or not as well as it should."""
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """The result of one check: what was found; unless it is ok, what is wrong and why it matters, and a fix.

    `fix` is a command that fixes the problem or shows more of it, None if there is none.
    """

    part: str
    level: Level
    found: str
    problem: str | None = None
    fix: str | None = None


def ok(part: str, found: str) -> Finding:
    return Finding(part, Level.OK, found)


def warning(part: str, found: str, problem: str, fix: str | None) -> Finding:
    return Finding(part, Level.WARNING, found, problem, fix)


def broken(part: str, found: str, problem: str, fix: str | None) -> Finding:
    return Finding(part, Level.BROKEN, found, problem, fix)


def nothing_is_broken(findings: list[Finding]) -> bool:
    """Return whether no finding is broken; warnings do not count."""
    return all(finding.level is not Level.BROKEN for finding in findings)
