"""The errors that a command may end with, as lines for a person; anything else keeps its traceback."""

import errno
from dataclasses import dataclass

import click
from sqlalchemy.exc import DBAPIError

from db.settings import SettingsError

_NO_PLACE = frozenset(
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
class Explained:
    """What to print, one line for each thing to mend."""

    text: str
    is_wrong_settings: bool


class CommandFailed(Exception):
    """A command could not do its work; its text is for a person."""


def explain(exc: Exception) -> Explained | None:
    """Return what an error means for whoever typed the command, or None where only a traceback helps."""
    if isinstance(exc, click.ClickException):
        return None
    if isinstance(exc, SettingsError):
        return Explained(str(exc), is_wrong_settings=True)
    if isinstance(exc, DBAPIError):
        # Not str(exc): that has the statement and its parameters.
        first = (str(exc.orig).strip().splitlines() or ["no reason given"])[0]
        return Explained(f"the database does not do as asked: {first}", is_wrong_settings=False)
    if isinstance(exc, CommandFailed):
        return Explained(str(exc), is_wrong_settings=False)
    if isinstance(exc, OSError) and exc.errno in _NO_PLACE and exc.filename is not None:
        hint = "If it is part of the data folder: REPO2HUB_DATA_DIR names that, and `repo2hub doctor` looks at it."
        return Explained(f"{exc.filename}: {exc.strerror}. {hint}", is_wrong_settings=False)
    return None
