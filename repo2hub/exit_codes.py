"""The exit codes of the command line, for scripts."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command exits with; `repo2hub --help` documents them."""

    SUCCESS = 0
    FAILED = 1
    USAGE_ERROR = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    INTERRUPTED = 130
    """By Ctrl-C, as shells report SIGINT."""
