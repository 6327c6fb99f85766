"""The error handling of every command line of ours: `repo2hub`, and the demo in a checkout."""

import sys
from typing import Any, NoReturn

import click
import requests

from repo2hub.client.service import ServiceError, root_cause
from repo2hub.exit_codes import ExitCode
from repo2hub.output.terminal import Terminal

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_UNREACHABLE_HINT = (
    "Start the service with `repo2hub up`, or set its address with --server or REPO2HUB_SERVER."
)


class CommandGroup(click.Group):
    """A click group that turns each expected error into a message on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ServiceError as exc:
            exit_with_error(str(exc), _exit_code(exc.status))
        except requests.RequestException as exc:
            where = exc.request.url if exc.request is not None else "the service"
            message = f"Cannot connect to {where}: {root_cause(exc)}\n{_UNREACHABLE_HINT}"
            exit_with_error(message, ExitCode.UNREACHABLE)
        except click.exceptions.Exit:
            raise
        except Exception as exc:
            # Imported only after a failure, because it loads SQLAlchemy.
            from repo2hub.output.errors import explain  # noqa: PLC0415

            explained = explain(exc)
            if explained is None:
                raise
            exit_with_error(
                explained.text, ExitCode.USAGE_ERROR if explained.is_settings_error else ExitCode.FAILED
            )


def exit_with_error(text: str, code: ExitCode) -> NoReturn:
    """Print an error line by line and end the process."""
    terminal = Terminal()
    for line in text.splitlines():
        terminal.error(line)
    sys.exit(code)


def _exit_code(status: int) -> ExitCode:
    """Return the exit code for the HTTP status of an error of the service."""
    if status == 404:
        return ExitCode.NOT_FOUND
    if status >= 500 or status == 429:
        return ExitCode.UNREACHABLE
    return ExitCode.FAILED if status == 409 else ExitCode.USAGE_ERROR
