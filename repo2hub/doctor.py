"""What is wrong on this machine, and the command that mends it.

All checks run at once, each with a time limit, and each stands alone: half of the machine may be missing, the
rest is still looked at. What a host needs depends on its roles, which are those whose packages are installed.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import click

from builder.memory import CGROUPS, group_of_build_steps
from builder.settings import BuilderSettings
from db.settings import PREFIX
from repo2hub import checks, reachable, secret, untold, variables
from repo2hub.checks import Finding, Level, broken, ok, warning
from repo2hub.terminal import Terminal, Tone
from webhook.settings import WebSettings

LIMIT = 30.0
"""Seconds for one check; it is longer than the limits within a check, which say more."""
_SHORT_SECRET = 16
_MAKE_ONE = 'export REPO2HUB_WEBHOOK_SECRETS="$(openssl rand -hex 32)"'
_TONES: dict[Level, Tone] = {Level.OK: "good", Level.WARNING: "warn", Level.BROKEN: "bad"}
# The package that tells whether a role's extra was installed.
_ROLES = {"web": "flask", "builder": "docker"}

Check = Callable[[], Finding | None]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of findings for a script.")
def doctor(as_json: bool) -> None:
    """Say what is wrong on this machine, and what mends it.

    Exits with 1 where something is broken; a warning alone does not count.
    """
    terminal = Terminal()
    with terminal.waiting("looking ..."):
        findings = diagnose(os.environ)
    if as_json:
        terminal.json({"ok": is_well(findings), "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            _print(terminal, finding)
    sys.exit(0 if is_well(findings) else 1)


def _print(terminal: Terminal, finding: Finding) -> None:
    terminal.say(f"{finding.level:8}{finding.part:16}{finding.found}", _TONES[finding.level])
    if finding.problem:
        terminal.say(f"{'':8}{finding.problem}")
    if finding.mend:
        terminal.say(f"{'':8}$ {finding.mend}", "bold")


def diagnose(environ: Mapping[str, str], limit: float = LIMIT) -> list[Finding]:
    """Return what was found, part by part; nothing is raised."""
    web, builder, findings = _settings(environ)
    roles = [role for role, package in _ROLES.items() if find_spec(package) is not None]
    parts: list[tuple[str, Check]] = [
        ("Python", checks.python),
        ("roles", lambda: _installed(roles)),
        ("git", checks.git),
        ("data folder", lambda: checks.data_folder(web.data_dir)),
        ("GitHub", lambda: reachable.github(web.github_url)),
    ]
    # Not the default in a wrong address's place: whoever made that up to date would find it empty.
    if not any(finding.found.startswith(f"{PREFIX}DATABASE_URL") for finding in findings):
        parts.insert(-1, ("database", lambda: reachable.database(web.database)))
    if "web" in roles:
        parts += _web_checks(web)
    if web.auth == "jupyterhub":
        given = (environ["JUPYTERHUB_API_URL"], environ["JUPYTERHUB_API_TOKEN"])
        parts.append(("hub", lambda: reachable.hub(*given)))
    if "builder" in roles:
        parts += _builder_checks(builder)
    return [*findings, *_run_all(parts, limit)]


def is_well(findings: Sequence[Finding]) -> bool:
    """Say whether nothing is broken."""
    return all(finding.level is not Level.BROKEN for finding in findings)


def _web_checks(settings: WebSettings) -> list[tuple[str, Check]]:
    if settings.role == "streams":  # which gets no deliveries
        return [("web role", lambda: web_role(settings))]
    parts: list[tuple[str, Check]] = [("webhook secret", lambda: webhook_secret(settings))]
    if settings.role == "webhook":
        parts.append(("web role", lambda: web_role(settings)))
    return parts


def _builder_checks(settings: BuilderSettings) -> list[tuple[str, Check]]:
    from builder.base_image import DEFAULT  # noqa: PLC0415 -- it needs docker, which a web host has not

    base = settings.base_image or DEFAULT
    parts: list[tuple[str, Check]] = [
        ("reports", lambda: untold.reports(settings)),
        ("engine", checks.engine),
        ("buildx", checks.buildx),
        ("repo2docker", checks.repo2docker),
        ("image disk", checks.engine_disk),
        ("base image", lambda: checks.base_image(base)),
        ("memory limit", lambda: memory_limit(settings.build_memory_limit)),
    ]
    if "uv" in settings.buildpacks:
        parts.append(("uv", lambda: checks.fast_lane(base)))
    if registry := settings.registry_url:
        parts.append(("registry", lambda: reachable.registry(registry)))
    return parts


def _run_all(parts: Sequence[tuple[str, Check]], limit: float) -> list[Finding]:
    """Run the checks at once and return their findings in order.

    Daemon threads, because a pool waits for its threads at exit, and a check that hangs must not.
    """
    late = f"no answer within {limit:g} s"
    found: dict[str, Finding | None] = {part: broken(part, "unknown", late, None) for part, _ in parts}

    def run(part: str, check: Check) -> None:
        try:
            found[part] = check()
        except Exception as exc:  # a check that fails must not hide the others
            found[part] = broken(part, "unknown", f"the check itself failed: {exc!r}", None)

    threads = [threading.Thread(target=run, args=one, daemon=True) for one in parts]
    deadline = time.monotonic() + limit
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [finding for part, _ in parts if (finding := found[part]) is not None]


def _settings(environ: Mapping[str, str]) -> tuple[WebSettings, BuilderSettings, list[Finding]]:
    web, wrong = variables.load_what_is_right(WebSettings)
    builder, also_wrong = variables.load_what_is_right(BuilderSettings)
    findings = variables.wrong_variables(wrong + also_wrong, environ)
    findings += variables.unknown_variables(environ, variables.known_variables())
    return web, builder, findings or [ok("settings", "every REPO2HUB_ variable is understood")]


def _installed(found: Sequence[str]) -> Finding:
    if not found:
        return broken(
            "roles", "none", "neither role's packages are here", "pip install 'repo2hub[web,builder]'"
        )
    return ok("roles", " and ".join(found))


def web_role(settings: WebSettings) -> Finding:
    """Where web processes share the work, say which part is this one's, and that there must be another."""
    if settings.role == "streams":
        return ok(
            "web role", "streams: logs that are followed; a `repo2hub web --role webhook` serves all else"
        )
    return ok(
        "web role", "webhook: all but logs that are followed, which a `repo2hub web --role streams` serves"
    )


def webhook_secret(settings: WebSettings) -> Finding:
    """Without a secret nothing that arrives can be trusted."""
    part = "webhook secret"
    lengths = [len(one.get_secret_value()) for one in settings.webhook_secrets]
    if not lengths:
        return _made_secret(part, settings.data_dir)
    if min(lengths) < _SHORT_SECRET:
        return warning(part, f"{len(lengths)} set", f"shorter than {_SHORT_SECRET} characters", _MAKE_ONE)
    return ok(part, f"{len(lengths)} set")


def _made_secret(part: str, data_dir: Path) -> Finding:
    file = secret.path(data_dir)
    try:
        made = secret.read(data_dir)
    except OSError as exc:
        return broken(part, str(file), f"cannot be read by this user: {exc.strerror}", f"ls -l {file}")
    if made is None:
        return warning(part, "none", "`repo2hub up` makes one; `repo2hub web` does not start", _MAKE_ONE)
    return ok(part, f"{file}, made by `repo2hub up`")


def memory_limit(limit: int | None, cgroups: Path = CGROUPS) -> Finding:
    """Where a limit is set, the control group of the engine's build steps must be writable."""
    part = "memory limit"
    if limit is None:
        return ok(part, "none set (REPO2HUB_BUILD_MEMORY_LIMIT)")
    found = f"{limit / 2**30:.1f} GiB"
    mend = "unset REPO2HUB_BUILD_MEMORY_LIMIT"
    try:
        group, _ = group_of_build_steps(cgroups)
    except OSError:
        problem = "cannot be enforced: no control group of an engine with the cgroupfs driver is in sight"
        return broken(part, found, problem, mend)
    if not os.access(group if group.exists() else group.parent, os.W_OK):
        return broken(part, found, f"cannot be enforced: {group} is not writable", mend)
    return ok(part, found)
