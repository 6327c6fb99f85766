"""`repo2hub`: the commands, each loaded only when it is asked for.

A web host has no docker or repo2docker installed and a builder no Flask, so `repo2hub builder` must not import
what `repo2hub web` needs; and a question to a running service should not wait for SQLAlchemy to load. Hence a
table of names here, and one module for each kind of command.
"""

import sys
from importlib import import_module
from typing import Any, NoReturn

import click
import requests

from repo2hub.client.service import ServiceError, root_cause
from repo2hub.output.terminal import Terminal

DONE, FAILED, USAGE_ERROR, NOT_FOUND, UNREACHABLE = range(5)

_COMMANDS = {
    "up": ("repo2hub.commands.up", "Run it all on this machine: web and one builder, nothing to configure."),
    "web": ("repo2hub.commands.web", "Serve the webhook, the API and the pages."),
    "builder": ("repo2hub.commands.builder", "Build what is queued."),
    "db": ("repo2hub.commands.db", "Look after the database."),
    "build": ("repo2hub.commands.builds", "Ask for the image of a repository and follow its log."),
    "lookup": ("repo2hub.commands.builds", "Print the name of a repository's image."),
    "builds": ("repo2hub.commands.builds", "List builds, newest first."),
    "log": ("repo2hub.commands.builds", "Print the log of a build, and follow it if it runs."),
    "cancel": ("repo2hub.commands.builds", "Cancel a build."),
    "prune": ("repo2hub.commands.prune", "Show what nobody needs any more, and with --yes remove it."),
    "doctor": ("repo2hub.doctor.diagnosis", "Say what is wrong on this machine, and what mends it."),
}
_EXTRAS = {
    "up": "web,builder",
    "web": "web",
    "builder": "builder",
    "prune": "builder",
}

_UNREACHABLE_HINT = "Start it here with `repo2hub up`, or say where it is with --server or REPO2HUB_SERVER."

EPILOG = """
\b
Exit codes:
  0  done
  1  the build failed or was cancelled, or something is broken
  2  wrong usage or settings
  3  not there (yet)
  4  the service cannot be reached

`build` ends with 130 on Ctrl-C; the build then goes on.
"""


class Commands(click.Group):
    """The table above as a click group; it turns every expected error into a line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _ = _COMMANDS[cmd_name]
        try:
            command: click.Command = getattr(import_module(module), cmd_name.replace("-", "_"))
        except ModuleNotFoundError as exc:
            fix = (
                f"pip install 'repo2hub[{_EXTRAS[cmd_name]}]'"
                if cmd_name in _EXTRAS
                else "pip install repo2hub"
            )
            _exit_with_error(
                f"`repo2hub {cmd_name}` needs {exc.name}, which this host lacks; mend it with: {fix}",
                USAGE_ERROR,
            )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them, since half of them may not be loadable here."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ServiceError as exc:
            _exit_with_error(str(exc), _exit_code(exc.status))
        except requests.RequestException as exc:
            where = exc.request.url if exc.request is not None else "the service"
            _exit_with_error(f"{where} does not answer: {root_cause(exc)}\n{_UNREACHABLE_HINT}", UNREACHABLE)
        except click.exceptions.Exit:
            raise
        except Exception as exc:
            # Only a failure pays for loading the classes of its cause.
            from repo2hub.output.errors import explain  # noqa: PLC0415

            explained = explain(exc)
            if explained is None:
                raise
            _exit_with_error(explained.text, USAGE_ERROR if explained.is_settings_error else FAILED)


def _exit_code(status: int) -> int:
    if status == 404:
        return NOT_FOUND
    if status >= 500 or status == 429:
        return UNREACHABLE
    return FAILED if status == 409 else USAGE_ERROR


def _exit_with_error(text: str, code: int) -> NoReturn:
    terminal = Terminal()
    for line in text.splitlines():
        terminal.error(line)
    sys.exit(code)


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="repo2hub", message="%(prog)s %(version)s")
def main() -> None:
    """Push to GitHub, launch on your JupyterHub: every commit's image, built before anyone asks."""
