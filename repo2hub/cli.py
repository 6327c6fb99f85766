"""`repo2hub`: the table of commands. Each command is imported only when it is called.

A web host has no docker or repo2docker and a builder has no web server, so `repo2hub builder` must not import what
`repo2hub web` needs. Commands that only ask a running service start without SQLAlchemy.
"""

from importlib import import_module

import click

from repo2hub.command_group import CONTEXT_SETTINGS, CommandGroup, exit_with_error
from repo2hub.exit_codes import ExitCode

_COMMANDS = {
    "up": ("repo2hub.commands.up", "Run the web process and one builder on this machine."),
    "web": ("repo2hub.commands.web", "Run a web process: webhook, API and pages."),
    "builder": ("repo2hub.commands.builder", "Run a builder, which builds queued images."),
    "db": ("repo2hub.commands.db", "Manage the database."),
    "build": ("repo2hub.commands.builds", "Request the image of a repository and follow the build log."),
    "lookup": ("repo2hub.commands.lookup", "Print the image of a repository."),
    "builds": ("repo2hub.commands.builds", "List builds, newest first."),
    "log": ("repo2hub.commands.builds", "Print the log of a build, and follow it while the build runs."),
    "cancel": ("repo2hub.commands.builds", "Cancel a build."),
    "prune": ("repo2hub.commands.prune", "List unused images, logs and deliveries; remove them with --yes."),
    "doctor": ("repo2hub.commands.doctor", "Check this machine and print how to fix what is wrong."),
}
_EXTRAS = {
    "up": "web,builder",
    "web": "web",
    "builder": "builder",
    "prune": "builder",
}

EPILOG = """
\b
Exit codes:
  0  success
  1  the build failed or was cancelled, or a command or check failed
  2  invalid usage or settings
  3  not found, or no image yet
  4  cannot connect to the service

`build` exits with 130 on Ctrl-C; the build continues.
"""


class Commands(CommandGroup):
    """The table above as a click group."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _ = _COMMANDS[cmd_name]
        try:
            command: click.Command = getattr(import_module(module), cmd_name)
        except ModuleNotFoundError as exc:
            package = f"'.[{_EXTRAS[cmd_name]}]'" if cmd_name in _EXTRAS else "."
            exit_with_error(
                f"`repo2hub {cmd_name}` needs the Python package {exc.name}, which is not installed. "
                f"In a checkout of repo2hub, run: pip install {package}",
                ExitCode.USAGE_ERROR,
            )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them: the packages of some may not be installed here."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=Commands, epilog=EPILOG, context_settings=CONTEXT_SETTINGS)
@click.version_option(package_name="repo2hub", message="%(prog)s %(version)s")
def main() -> None:
    """Push to GitHub, launch on your JupyterHub: build the image of every commit before anyone asks for it."""
