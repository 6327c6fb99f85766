"""`python -m demo` and `python -m demo hub`: what `make run` and `make hub` start, in a checkout."""

import sys

import click

from demo.hub import demo_hub
from demo.run import demo
from repo2hub.output.errors import explain
from repo2hub.output.terminal import Terminal


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Try repo2hub on this machine."""
    if context.invoked_subcommand is None:
        context.invoke(demo)


main.add_command(demo_hub, "hub")

if __name__ == "__main__":
    try:
        main(prog_name="python -m demo")
    except Exception as exc:
        explained = explain(exc)
        if explained is None:
            raise
        Terminal().error(explained.text)
        sys.exit(1)
