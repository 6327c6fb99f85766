"""The structured log of web process and builder."""

import io
import json
import logging
import sys

import pytest
import structlog

from repo2hub.output import structured_logging


def logged(log_format: str, monkeypatch: pytest.MonkeyPatch, **values: object) -> str:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        structured_logging.configure(log_format)
        structlog.get_logger().info("something.happened", **values)
        logging.getLogger("library").warning("a message of a %s", "library")
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers[:], logging.getLogger().level = before
    return stream.getvalue()


def test_logs_are_json_if_stderr_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.loads(line) for line in logged("auto", monkeypatch, build=7).splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("something.happened", "info"),
        ("a message of a library", "warning"),
    ]
    assert lines[0]["build"] == 7


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_are_hidden_by_their_names(log_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = logged(log_format, monkeypatch, webhook_secret="s-1", Authorization="s-2", api_tokens=["s-3"])
    assert not {"s-1", "s-2", "s-3"} & set(out.replace('"', " ").split())
    assert out.count("***") == 3


def test_logged_text_cannot_control_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = logged("console", monkeypatch, ref="refs/heads/\x1b[2Jx\nforged")
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2
