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

from base.settings import PREFIX
from builder.engine.memory_limit import CGROUPS, build_cgroup
from builder.settings import BuilderSettings
from repo2hub.doctor import connection_checks, machine_checks, report_checks, settings_checks
from repo2hub.doctor.machine_checks import Finding, Level, broken, ok, warning
from repo2hub.output.terminal import Terminal, Tone
from repo2hub.startup import webhook_secret_file
from webhook.settings import WebSettings

CHECK_TIMEOUT = 30.0
"""Seconds for one check; it is longer than the limits within a check, which say more."""
_MINIMUM_SECRET_LENGTH = 16
_EXPORT_COMMAND = 'export REPO2HUB_WEBHOOK_SECRETS="$(openssl rand -hex 32)"'
_LEVEL_TONES: dict[Level, Tone] = {Level.OK: "good", Level.WARNING: "warn", Level.BROKEN: "bad"}
# The package that tells whether a role's extra was installed.
_ROLE_PACKAGES = {"web": "flask", "builder": "docker"}

Check = Callable[[], Finding | None]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of findings for a script.")
def doctor(as_json: bool) -> None:
    """Say what is wrong on this machine, and what mends it.

    Exits with 1 where something is broken; a warning alone does not count.
    """
    terminal = Terminal()
    with terminal.waiting("looking ..."):
        findings = run_checks(os.environ)
    if as_json:
        terminal.json(
            {"ok": nothing_is_broken(findings), "findings": [asdict(finding) for finding in findings]}
        )
    else:
        for finding in findings:
            _print_finding(terminal, finding)
    sys.exit(0 if nothing_is_broken(findings) else 1)


def _print_finding(terminal: Terminal, finding: Finding) -> None:
    terminal.echo(f"{finding.level:8}{finding.part:16}{finding.found}", _LEVEL_TONES[finding.level])
    if finding.problem:
        terminal.echo(f"{'':8}{finding.problem}")
    if finding.fix:
        terminal.echo(f"{'':8}$ {finding.fix}", "bold")


def run_checks(environ: Mapping[str, str], limit: float = CHECK_TIMEOUT) -> list[Finding]:
    """Return what was found, part by part; nothing is raised."""
    web, builder, findings = _check_settings(environ)
    roles = [role for role, package in _ROLE_PACKAGES.items() if find_spec(package) is not None]
    parts: list[tuple[str, Check]] = [
        ("Python", machine_checks.python),
        ("roles", lambda: _check_roles(roles)),
        ("git", machine_checks.git),
        ("data folder", lambda: machine_checks.data_folder(web.data_dir)),
        ("GitHub", lambda: connection_checks.github(web.github_url)),
    ]
    # Not the default in a wrong address's place: whoever made that up to date would find it empty.
    if not any(finding.found.startswith(f"{PREFIX}DATABASE_URL") for finding in findings):
        parts.insert(-1, ("database", lambda: connection_checks.database(web.database)))
    if "web" in roles:
        parts += _web_checks(web)
    if web.auth == "jupyterhub":
        given = (environ["JUPYTERHUB_API_URL"], environ["JUPYTERHUB_API_TOKEN"])
        parts.append(("hub", lambda: connection_checks.hub(*given)))
    if "builder" in roles:
        parts += _builder_checks(builder)
    return [*findings, *_run_in_threads(parts, limit)]


def nothing_is_broken(findings: Sequence[Finding]) -> bool:
    """Say whether nothing is broken."""
    return all(finding.level is not Level.BROKEN for finding in findings)


def _web_checks(settings: WebSettings) -> list[tuple[str, Check]]:
    if settings.role == "streams":  # which gets no deliveries
        return [("web role", lambda: check_web_role(settings))]
    parts: list[tuple[str, Check]] = [("webhook secret", lambda: check_webhook_secret(settings))]
    if settings.role == "webhook":
        parts.append(("web role", lambda: check_web_role(settings)))
    return parts


def _builder_checks(settings: BuilderSettings) -> list[tuple[str, Check]]:
    from builder.engine.base_image import DEFAULT_BASE_IMAGE  # noqa: PLC0415 -- it needs docker, which a web host has not

    base = settings.base_image or DEFAULT_BASE_IMAGE
    parts: list[tuple[str, Check]] = [
        ("reports", lambda: report_checks.check_reports(settings)),
        ("engine", machine_checks.engine),
        ("buildx", machine_checks.buildx),
        ("repo2docker", machine_checks.repo2docker),
        ("image disk", machine_checks.engine_disk),
        ("base image", lambda: machine_checks.base_image(base)),
        ("memory limit", lambda: check_memory_limit(settings.build_memory_limit)),
    ]
    if "uv" in settings.buildpacks:
        parts.append(("uv", lambda: machine_checks.uv_buildpack(base)))
    if registry := settings.registry_url:
        parts.append(("registry", lambda: connection_checks.registry(registry)))
    return parts


def _run_in_threads(parts: Sequence[tuple[str, Check]], limit: float) -> list[Finding]:
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


def _check_settings(environ: Mapping[str, str]) -> tuple[WebSettings, BuilderSettings, list[Finding]]:
    web, wrong = settings_checks.load_valid_settings(WebSettings)
    builder, also_wrong = settings_checks.load_valid_settings(BuilderSettings)
    findings = settings_checks.check_invalid_variables(wrong + also_wrong, environ)
    findings += settings_checks.check_unknown_variables(environ, settings_checks.known_variables())
    return web, builder, findings or [ok("settings", "every REPO2HUB_ variable is understood")]


def _check_roles(found: Sequence[str]) -> Finding:
    if not found:
        return broken(
            "roles", "none", "neither role's packages are here", "pip install 'repo2hub[web,builder]'"
        )
    return ok("roles", " and ".join(found))


def check_web_role(settings: WebSettings) -> Finding:
    """Where web processes share the work, say which part is this one's, and that there must be another."""
    if settings.role == "streams":
        return ok(
            "web role", "streams: logs that are followed; a `repo2hub web --role webhook` serves all else"
        )
    return ok(
        "web role", "webhook: all but logs that are followed, which a `repo2hub web --role streams` serves"
    )


def check_webhook_secret(settings: WebSettings) -> Finding:
    """Without a secret nothing that arrives can be trusted."""
    part = "webhook secret"
    lengths = [len(one.get_secret_value()) for one in settings.webhook_secrets]
    if not lengths:
        return _check_generated_secret(part, settings.data_dir)
    if min(lengths) < _MINIMUM_SECRET_LENGTH:
        return warning(
            part,
            f"{len(lengths)} set",
            f"shorter than {_MINIMUM_SECRET_LENGTH} characters",
            _EXPORT_COMMAND,
        )
    return ok(part, f"{len(lengths)} set")


def _check_generated_secret(part: str, data_dir: Path) -> Finding:
    file = webhook_secret_file.secret_path(data_dir)
    try:
        made = webhook_secret_file.read_secret(data_dir)
    except OSError as exc:
        return broken(part, str(file), f"cannot be read by this user: {exc.strerror}", f"ls -l {file}")
    if made is None:
        return warning(
            part, "none", "`repo2hub up` makes one; `repo2hub web` does not start", _EXPORT_COMMAND
        )
    return ok(part, f"{file}, made by `repo2hub up`")


def check_memory_limit(limit: int | None, cgroups: Path = CGROUPS) -> Finding:
    """Where a limit is set, the control group of the engine's build steps must be writable."""
    part = "memory limit"
    if limit is None:
        return ok(part, "none set (REPO2HUB_BUILD_MEMORY_LIMIT)")
    found = f"{limit / 2**30:.1f} GiB"
    fix = "unset REPO2HUB_BUILD_MEMORY_LIMIT"
    try:
        group, _ = build_cgroup(cgroups)
    except OSError:
        problem = "cannot be enforced: no control group of an engine with the cgroupfs driver is in sight"
        return broken(part, found, problem, fix)
    if not os.access(group if group.exists() else group.parent, os.W_OK):
        return broken(part, found, f"cannot be enforced: {group} is not writable", fix)
    return ok(part, found)
