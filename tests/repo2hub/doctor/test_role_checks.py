"""Webhook secret and memory limit."""

from pathlib import Path

from pydantic import SecretStr

from repo2hub.doctor.finding import Finding, Level
from repo2hub.doctor.role_checks import check_memory_limit, check_webhook_secret
from repo2hub.startup import webhook_secret_file
from tests.repo2hub.doctor.conftest import level
from webhook.settings import WebSettings


def test_a_webhook_secret_is_set_generated_short_or_missing(tmp_path: Path) -> None:
    def found(*secrets: str) -> Finding:
        return check_webhook_secret(
            WebSettings(data_dir=tmp_path, webhook_secrets=tuple(SecretStr(one) for one in secrets))
        )

    assert level(found()) is Level.WARNING
    assert level(found("x" * 32)) is Level.OK
    assert level(found("x" * 32, "short")) is Level.WARNING
    made = webhook_secret_file.ensure_secret(tmp_path)
    assert level(found()) is Level.OK
    assert made.read_text().strip() not in str(found())
    made.unlink()
    made.mkdir()
    assert level(found()) is Level.BROKEN and str(made) in found().found
    assert level(found("x" * 32)) is Level.OK


def test_a_memory_limit_requires_the_control_group_of_the_engine(tmp_path: Path) -> None:
    assert level(check_memory_limit(None, tmp_path)) is Level.OK
    assert level(check_memory_limit(2**30, tmp_path)) is Level.BROKEN
    (tmp_path / "memory" / "docker").mkdir(parents=True)
    assert level(check_memory_limit(2**30, tmp_path)) is Level.OK
