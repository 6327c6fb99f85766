"""The errors that a command may end with, as lines for a person; anything else keeps its traceback."""

import errno
from dataclasses import dataclass

import click
from sqlalchemy.exc import DBAPIError

from base.settings import SettingsError

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
"""What the system says where a file or a folder cannot be made."""


@dataclass(frozen=True)
class ErrorMessage:
    """What to print, one line for each thing to mend."""

    text: str
    is_settings_error: bool


class CommandFailed(Exception):
    """A command could not do its work; its text is for a person."""


def explain(exc: Exception) -> ErrorMessage | None:
    """Return what an error means for whoever typed the command, or None where only a traceback helps."""
    if isinstance(exc, click.ClickException):
        return None
    if isinstance(exc, SettingsError):
        return ErrorMessage(str(exc), is_settings_error=True)
    if isinstance(exc, DBAPIError):
        # Not str(exc): that has the statement and its parameters.
        first = (str(exc.orig).strip().splitlines() or ["no reason given"])[0]
        return ErrorMessage(f"the database does not do as asked: {first}", is_settings_error=False)
    if isinstance(exc, CommandFailed):
        return ErrorMessage(str(exc), is_settings_error=False)
    if isinstance(exc, OSError) and exc.errno in _FILE_SYSTEM_ERRORS and exc.filename is not None:
        hint = "If it is part of the data folder: REPO2HUB_DATA_DIR names that, and `repo2hub doctor` looks at it."
        return ErrorMessage(f"{exc.filename}: {exc.strerror}. {hint}", is_settings_error=False)
    return None
