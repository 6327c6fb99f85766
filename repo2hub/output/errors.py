"""Which errors a command ends with as a message; all others are bugs and keep their traceback."""

import errno
from dataclasses import dataclass

import click
from sqlalchemy.exc import DBAPIError

from base.settings import SettingsError
from repo2hub.output.error_text import first_line

_FILE_SYSTEM_ERRORS = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EEXIST,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENOSPC,
        errno.EDQUOT,
    }
)
"""What the operating system reports when a file or folder cannot be created."""


@dataclass(frozen=True)
class ErrorMessage:
    """The text to print, one line for each thing to fix."""

    text: str
    is_settings_error: bool


class CommandFailed(Exception):
    """A command could not do its work. The text says why, and what the user can do."""


def explain(exc: Exception) -> ErrorMessage | None:
    """Return the message for an error, or None if it is unexpected and needs its traceback."""
    if isinstance(exc, click.ClickException):
        return None
    if isinstance(exc, SettingsError):
        return ErrorMessage(str(exc), is_settings_error=True)
    if isinstance(exc, DBAPIError):
        # Not str(exc), which contains the statement and its parameters.
        return ErrorMessage(f"Database error: {first_line(exc.orig)}", is_settings_error=False)
    if isinstance(exc, CommandFailed):
        return ErrorMessage(str(exc), is_settings_error=False)
    if isinstance(exc, OSError) and exc.errno in _FILE_SYSTEM_ERRORS and exc.filename is not None:
        hint = "If it is in the data folder, check REPO2HUB_DATA_DIR, or run `repo2hub doctor`."
        return ErrorMessage(f"{exc.filename}: {exc.strerror}. {hint}", is_settings_error=False)
    return None
