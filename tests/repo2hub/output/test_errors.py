"""Which errors are messages, and which keep their traceback."""

import errno

import click
import pytest
from sqlalchemy.exc import OperationalError

from base.settings import SettingsError
from repo2hub.output.errors import CommandFailed, ErrorMessage, explain


@pytest.mark.parametrize(
    "exc", [ValueError("bug"), click.UsageError("handled by click"), OSError(errno.EIO, "I/O")]
)
def test_unexpected_errors_and_those_of_click_have_no_message(exc: Exception) -> None:
    assert explain(exc) is None


def test_expected_errors_are_messages() -> None:
    assert explain(CommandFailed("Another demo is running.")) == ErrorMessage(
        "Another demo is running.", False
    )
    assert explain(SettingsError("REPO2HUB_PORT: x")) == ErrorMessage("REPO2HUB_PORT: x", True)


def test_a_database_error_has_no_statement_and_no_parameters() -> None:
    error = OperationalError("SELECT secret", {"token": "a-token"}, Exception("cannot connect\nhint"))
    assert explain(error) == ErrorMessage("Database error: cannot connect", False)


def test_a_path_that_cannot_be_created_is_named() -> None:
    message = explain(PermissionError(errno.EACCES, "Permission denied", "/srv/data"))
    assert message is not None and message.text.startswith("/srv/data: Permission denied.")
