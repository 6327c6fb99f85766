"""All checks together: which run, and that none hides another."""

import os
import threading
from pathlib import Path

import pytest

from builder.settings import BuilderSettings
from repo2hub.doctor import all_checks
from repo2hub.doctor.all_checks import run_checks
from repo2hub.doctor.finding import Finding, Level, ok
from tests.repo2hub.doctor.conftest import Program, part
from webhook.settings import Role, WebSettings


def test_with_nothing_installed_every_broken_part_has_a_fix(program: Program) -> None:
    findings = run_checks({})
    for name in ("git", "engine", "buildx", "base image", "GitHub"):
        assert part(findings, name).level is Level.BROKEN
        assert part(findings, name).fix
    assert part(findings, "Python").level is Level.OK
    assert part(findings, "repo2docker").level is Level.OK


def test_a_check_that_hangs_or_crashes_does_not_affect_others() -> None:
    hang = threading.Event()

    def crash() -> Finding:
        raise RuntimeError("oh")

    found = all_checks._run_in_threads(
        [
            ("slow", lambda: ok("slow", "x") if hang.wait(30) else None),
            ("crashing", crash),
            ("well", lambda: ok("well", "1")),
        ],
        timeout=0.2,
    )
    hang.set()
    assert [(one.part, one.level) for one in found] == [
        ("slow", Level.BROKEN),
        ("crashing", Level.BROKEN),
        ("well", Level.OK),
    ]
    assert "did not finish within 0.2 s" in str(found[0].problem)
    assert "oh" in str(found[1].problem)


def test_all_invalid_variables_are_found_and_the_rest_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = {
        "REPO2HUB_PORT": "many",
        "REPO2HUB_BUILD_MEMORY_LIMIT": "lots",
        "REPO2HUB_GITHUB_TOKEN_FILE": "/nonexistent",
        "REPO2HUB_AUTH": "token",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    findings = run_checks(os.environ)
    broken = {one.found for one in findings if one.part == "settings" and one.level is Level.BROKEN}
    assert broken == set(wrong) - {"REPO2HUB_AUTH"} | {"REPO2HUB_API_TOKENS"}  # required by auth=token
    assert str(tmp_path / "data") in part(findings, "data folder").found


def test_with_an_invalid_database_address_no_database_is_checked(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REPO2HUB_DATA_DIR", str(tmp_path))
    assert "database" in {finding.part for finding in run_checks(os.environ)}
    monkeypatch.setenv("REPO2HUB_DATABASE_URL", "postgres:/typo")
    assert "database" not in {finding.part for finding in run_checks(os.environ)}


@pytest.mark.parametrize(
    ("role", "parts"),
    [("all", ["webhook secret"]), ("webhook", ["webhook secret", "web role"]), ("streams", ["web role"])],
)
def test_each_web_role_has_its_checks(role: Role, parts: list[str]) -> None:
    checks_of_role = all_checks._web_checks(WebSettings(role=role))
    assert [name for name, _ in checks_of_role] == parts
    for name, check in checks_of_role:
        finding = check()
        assert finding is not None
        if name == "web role":
            assert finding.found.startswith(f"{role}:") and finding.level is Level.OK


def test_registry_and_uv_are_checked_if_they_are_configured() -> None:
    settings = BuilderSettings(registry_url="http://127.0.0.1:9", buildpacks=("uv", "standard"))
    parts = [name for name, _ in all_checks._builder_checks(settings)]
    assert {"registry", "uv"} <= set(parts)
