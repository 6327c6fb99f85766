"""Which checks `repo2hub doctor` runs on this machine, and running them.

All checks run at the same time and independently, each with a timeout: if half of the machine is missing, the
rest is still checked. A host's roles, and so its checks, are those whose packages are installed.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec

from base.settings import PREFIX
from builder.settings import BuilderSettings
from repo2hub.doctor import connection_checks, machine_checks, report_checks, role_checks, settings_checks
from repo2hub.doctor.finding import Finding, broken, ok
from webhook.settings import WebSettings

CHECK_TIMEOUT = 30.0
"""Seconds for one check. The timeouts within a check are shorter, and their messages say more."""
# A package that only the extra of this role installs.
_ROLE_PACKAGES = {"web": "flask", "builder": "docker"}

Check = Callable[[], Finding | None]


def run_checks(environ: Mapping[str, str], timeout: float = CHECK_TIMEOUT) -> list[Finding]:
    """Return the findings of all checks, in a fixed order. Raises nothing."""
    web, builder, findings = _check_settings(environ)
    roles = [role for role, package in _ROLE_PACKAGES.items() if find_spec(package) is not None]
    parts: list[tuple[str, Check]] = [
        ("Python", machine_checks.python),
        ("roles", lambda: role_checks.check_roles(roles)),
        ("git", machine_checks.git),
        ("data folder", lambda: machine_checks.data_folder(web.data_dir)),
        ("GitHub", lambda: connection_checks.github(web.github_url)),
    ]
    # With an invalid address the default database would be checked, and its fix would migrate that one.
    if not any(finding.found.startswith(f"{PREFIX}DATABASE_URL") for finding in findings):
        parts.insert(-1, ("database", lambda: connection_checks.database(web.database)))
    if "web" in roles:
        parts += _web_checks(web)
    if web.auth == "jupyterhub":
        api_url, token = environ["JUPYTERHUB_API_URL"], environ["JUPYTERHUB_API_TOKEN"]
        parts.append(("hub", lambda: connection_checks.hub(api_url, token)))
    if "builder" in roles:
        parts += _builder_checks(builder)
    return [*findings, *_run_in_threads(parts, timeout)]


def _web_checks(settings: WebSettings) -> list[tuple[str, Check]]:
    if settings.role == "streams":  # this role gets no deliveries
        return [("web role", lambda: role_checks.check_web_role(settings))]
    parts: list[tuple[str, Check]] = [("webhook secret", lambda: role_checks.check_webhook_secret(settings))]
    if settings.role == "webhook":
        parts.append(("web role", lambda: role_checks.check_web_role(settings)))
    return parts


def _builder_checks(settings: BuilderSettings) -> list[tuple[str, Check]]:
    from builder.engine.base_image import DEFAULT_BASE_IMAGE  # noqa: PLC0415 -- imports docker, which a web host lacks

    base = settings.base_image or DEFAULT_BASE_IMAGE
    parts: list[tuple[str, Check]] = [
        ("reports", lambda: report_checks.check_reports(settings)),
        ("engine", machine_checks.engine),
        ("buildx", machine_checks.buildx),
        ("repo2docker", machine_checks.repo2docker),
        ("image disk", machine_checks.engine_disk),
        ("base image", lambda: machine_checks.base_image(base)),
        ("memory limit", lambda: role_checks.check_memory_limit(settings.build_memory_limit)),
    ]
    if "uv" in settings.buildpacks:
        parts.append(("uv", lambda: machine_checks.uv_buildpack(base)))
    if registry := settings.registry_url:
        parts.append(("registry", lambda: connection_checks.registry(registry)))
    return parts


def _run_in_threads(parts: Sequence[tuple[str, Check]], timeout: float) -> list[Finding]:
    """Run the checks at the same time and return their findings in order.

    The threads are daemons, because a check that hangs must not keep the process alive.
    """
    late = f"the check did not finish within {timeout:g} s"
    found: dict[str, Finding | None] = {part: broken(part, "unknown", late, None) for part, _ in parts}

    def run(part: str, check: Check) -> None:
        try:
            found[part] = check()
        except Exception as exc:  # one failing check must not hide the others
            found[part] = broken(part, "unknown", f"the check failed: {exc!r}", None)

    threads = [threading.Thread(target=run, args=part, daemon=True) for part in parts]
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [finding for part, _ in parts if (finding := found[part]) is not None]


def _check_settings(environ: Mapping[str, str]) -> tuple[WebSettings, BuilderSettings, list[Finding]]:
    web, web_errors = settings_checks.load_valid_settings(WebSettings)
    builder, builder_errors = settings_checks.load_valid_settings(BuilderSettings)
    findings = settings_checks.check_invalid_variables(web_errors + builder_errors, environ)
    findings += settings_checks.check_unknown_variables(environ, settings_checks.known_variables())
    return web, builder, findings or [ok("settings", "all REPO2HUB_ variables are valid")]
