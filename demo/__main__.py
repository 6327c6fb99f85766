"""`python -m demo` and `python -m demo hub`: the command line that `make run` and `make hub` call."""

import click

from demo.hub import hub
from demo.run import run
from repo2hub.command_group import CONTEXT_SETTINGS, CommandGroup


@click.group(cls=CommandGroup, invoke_without_command=True, context_settings=CONTEXT_SETTINGS)
@click.pass_context
def main(context: click.Context) -> None:
    """Build and start an image on this machine: from a signed push to a running JupyterLab.

    Without a command, web process and builder are started on the local container engine, and git's own server
    on loopback takes the place of GitHub. On a terminal they run until Ctrl-C, otherwise they stop when the
    image has been started once. `make run` first provides a container engine and a base image.
    """
    if context.invoked_subcommand is None:
        run()


main.add_command(hub)

if __name__ == "__main__":
    main(prog_name="python -m demo")
