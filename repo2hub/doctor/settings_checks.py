"""The checks of `repo2hub doctor` for REPO2HUB_ variables: invalid values, and names that do not exist."""

import shlex
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from base.settings import PREFIX, SettingsError, load
from builder.settings import BuilderSettings
from repo2hub.doctor.finding import Finding, broken, warning
from webhook.settings import WebSettings

# Read by the commands that use a service, by the scripts in machine/ and by the tests.
_OTHER_VARIABLES = ("SERVER", "API_TOKEN", "CACHE", "DOCKERD_OPTIONS", "TEST_POSTGRESQL")
_INTERNAL_FIELD = "secret_file_errors"

S = TypeVar("S", bound=BaseSettings)


def load_valid_settings(settings_class: type[S]) -> tuple[S, list[str]]:
    """Return settings with defaults for invalid variables, and a message for each of those."""
    errors: list[str] = []
    defaults: dict[str, Any] = {}
    # The first attempt reports invalid values, the second those that contradict each other, the third succeeds.
    for _ in range(3):
        try:
            return load(settings_class, **defaults), errors
        except SettingsError as exc:
            lines = str(exc).splitlines()
        errors += lines
        defaults |= _defaults_of_invalid(settings_class, lines)
    return settings_class.model_construct(), errors


def _defaults_of_invalid(settings_class: type[BaseSettings], lines: Sequence[str]) -> dict[str, Any]:
    names = {line.partition(":")[0].removeprefix(PREFIX).removesuffix("_FILE").lower() for line in lines}
    if names & {
        "auth",
        "api_tokens",
    }:  # auth=token requires tokens, and without auth only loopback is allowed
        names |= {"auth", "host"}
    names.add(_INTERNAL_FIELD)
    return {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in settings_class.model_fields.items()
        if name in names
    }


def check_invalid_variables(lines: Sequence[str], environ: Mapping[str, str]) -> list[Finding]:
    """Return a finding for each line of SettingsErrors."""
    findings = []
    for line in dict.fromkeys(lines):
        name, _, problem = line.partition(": ")
        fix = f"unset {name}" if name in environ else f"export {name}=..."
        if name in environ and name.endswith("_FILE"):
            fix = f"ls -l {shlex.quote(environ[name])}"
        findings.append(broken("settings", name, problem, fix))
    return findings


def known_variables() -> set[str]:
    """Return the names of all variables that something reads, without the prefix."""
    fields = WebSettings.model_fields | BuilderSettings.model_fields
    names = {name.upper() for name in fields if name != _INTERNAL_FIELD}
    files = {name.upper() + "_FILE" for name, field in fields.items() if _has_file_variant(name, field)}
    return names | files | set(_OTHER_VARIABLES)


def _has_file_variant(name: str, field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation) or name == "database_url"


def check_unknown_variables(environ: Mapping[str, str], known: set[str]) -> list[Finding]:
    """Return a warning for each REPO2HUB_ variable that nothing reads, with the name that was probably meant."""
    findings = []
    for variable in sorted(environ):
        name = variable.removeprefix(PREFIX)
        if name == variable or name in known:
            continue
        similar = get_close_matches(name, sorted(known), n=1)
        fix = (
            f'export {PREFIX}{similar[0]}="${variable}"; unset {variable}' if similar else f"unset {variable}"
        )
        hint = f" Did you mean {PREFIX}{similar[0]}?" if similar else ""
        problem = f"this variable does not exist, so it has no effect.{hint}"
        findings.append(warning("settings", variable, problem, fix))
    return findings
