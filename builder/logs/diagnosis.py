"""Explain a failed build in one line, from the end of its output. Pure.

The output is partly the repository's own, so it can provoke a wrong diagnosis. All it gains is another message,
or the two retries of an infrastructure error.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from base.sanitize import one_line, remove_controls_and_colours
from builder.errors import BuildError, InfrastructureError, UserError
from builder.logs.known_failures import RULES, BuildPart, Rule
from db.status import Reason

TAIL_LINES = 400
"""Lines of the end that are read. BuildKit repeats the failing step's last lines at the very end."""

MAX_LINE = 2000
MAX_VALUE = 200

_STEP_FAILED = re.compile(r"#(\d+) (?:ERROR:|CANCELED)")
_PREFIX = re.compile(r"#(\d+) (?:\d+\.\d+(?: |$))?")
_COMMAND = re.compile(
    r"executor failed running \[(?:/bin/(?:ba)?sh -\w+ )?(?P<command>.*)\]: |"
    r"process \"(?:/bin/(?:ba)?sh -\w+ )?(?P<process>.*)\" did not complete"
)
_METADATA = re.compile(r"\[internal\] load metadata for (\S+)")
_PUSHING = re.compile(r"pushing (\S+)")
# Lines that say nothing about the cause.
_NOISE = re.compile(
    r"\s*$|\[[\w -]*\d+/\d+\] |\[internal\]|ERROR: executor failed|ERROR: process|ERROR: failed to"
    r"|note: |hint: |time: |DONE|CACHED"
)


@dataclass(frozen=True)
class _Evidence:
    """The lines about the failure, and the part of the build that failed."""

    where: BuildPart
    text: str
    subject: str
    """The failing step's command, or the image that the part is about."""
    last: str
    """The last line that is no noise."""


def diagnose(lines: Sequence[str], returncode: int) -> BuildError:
    """Return the error for a repo2docker run that ended with `returncode`; never raises.

    `lines` are its messages (see `repo2docker.parse_line`), the whole log or its end.
    """
    # A message may have newlines: a YAML error of repo2docker is one message of four lines.
    split = [line for text in lines[-TAIL_LINES:] for line in text.split("\n")]
    tail = [remove_controls_and_colours(line[:MAX_LINE]).rstrip() for line in split[-TAIL_LINES:]]
    evidence = _gather(tail)
    for rule in RULES:
        if error := _match_rule(rule, evidence):
            return error
    ended = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
    return InfrastructureError(
        "unknown", _tidy(f"The build ended with {ended}: {evidence.last or 'it printed nothing'}")
    )


def _gather(tail: list[str]) -> _Evidence:
    """Pick the failing step's lines; if no step failed, the lines outside of steps."""
    failed = next((found[1] for line in reversed(tail) if (found := _STEP_FAILED.match(line))), None)
    own = [_PREFIX.sub("", line, count=1) for line in tail if _step_of(line) == failed]
    if failed is None:
        return _Evidence(BuildPart.OUTSIDE, "\n".join(own), "", _last_line(own))
    # BuildKit's closing line is outside the step and says more than the step's own lines.
    closing = [line for line in tail if line.startswith("ERROR: ")]
    text = "\n".join(own + closing)
    title = own[0] if own else ""
    if found := _METADATA.search(title):
        return _Evidence(BuildPart.BASE_IMAGE, text, found[1], _last_line(own))
    if found := _PUSHING.match(title):
        return _Evidence(BuildPart.PUSH, text, found[1], _last_line(own))
    command = _COMMAND.search(text)
    subject = (command["command"] or command["process"]) if command else title
    return _Evidence(BuildPart.STEP, text, subject, _last_line(own))


def _step_of(line: str) -> str | None:
    found = _PREFIX.match(line)
    return found[1] if found else None


def _last_line(lines: list[str]) -> str:
    return next((line.strip() for line in reversed(lines) if not _NOISE.match(line.lstrip())), "")


def _match_rule(rule: Rule, evidence: _Evidence) -> BuildError | None:
    if evidence.where not in rule.where or not rule.subject.search(evidence.subject):
        return None
    found = rule.pattern.search(evidence.text)
    if found is None:
        return None
    values = found.groupdict("") | {"subject": evidence.subject, "last": evidence.last}
    message = rule.message.format_map({name: one_line(value, MAX_VALUE) for name, value in values.items()})
    if not rule.is_user_error:
        return InfrastructureError(rule.cause, _tidy(message))
    reason = Reason.MEMORY_LIMIT if rule.cause == "out_of_memory" else Reason.USER_ERROR
    return UserError(rule.cause, _tidy(message), reason=reason)


def _tidy(message: str) -> str:
    """Tidy a message in which optional parts may be empty."""
    return " ".join(message.split()).rstrip(": ").replace("..", ".")
