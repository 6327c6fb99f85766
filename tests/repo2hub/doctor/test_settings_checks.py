"""Invalid and misspelt variables."""

import pytest

from repo2hub.doctor import settings_checks


def test_a_misspelt_variable_is_reported_with_the_similar_one() -> None:
    environ = {"REPO2HUB_WEBHOOK_SECRT": "x", "REPO2HUB_PORT": "1", "HOME": "/", "REPO2HUB_QQQQ": "x"}
    findings = settings_checks.check_unknown_variables(environ, settings_checks.known_variables())
    assert [finding.found for finding in findings] == ["REPO2HUB_QQQQ", "REPO2HUB_WEBHOOK_SECRT"]
    assert "Did you mean REPO2HUB_WEBHOOK_SECRETS?" in str(findings[1].problem)


@pytest.mark.parametrize(
    "name", ["SERVER", "API_TOKEN", "GITHUB_TOKEN_FILE", "DATABASE_URL_FILE", "BUILD_SLOTS"]
)
def test_all_variables_are_known(name: str) -> None:
    assert name in settings_checks.known_variables()


def test_a_file_that_cannot_be_read_is_reported_with_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["REPO2HUB_API_TOKENS_FILE: cannot read /run/a b: No such file or directory"]
    (finding,) = settings_checks.check_invalid_variables(lines, {"REPO2HUB_API_TOKENS_FILE": "/run/a b"})
    assert (finding.found, finding.fix) == ("REPO2HUB_API_TOKENS_FILE", "ls -l '/run/a b'")
