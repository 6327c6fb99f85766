"""`repo2hub lookup`: which image a ref has, for scripts."""

import click

from repo2hub.client.options import Target, json_option, service_command, target_argument
from repo2hub.client.service import ServiceClient
from repo2hub.exit_codes import ExitCode
from repo2hub.output.terminal import Terminal


@click.command()
@target_argument
@json_option
@service_command
def lookup(service: ServiceClient, terminal: Terminal, *, target: Target, as_json: bool) -> int:
    """Print the image of a repository.

    REF is a branch, tag or commit; without it, the default branch is used. Only the image's name is printed to
    stdout. If that commit has no image (yet), the exit code is 3, and stderr says why and names an older image
    if there is one.
    """
    found = service.lookup(*target)
    if as_json:
        terminal.json(found)
    elif "state" not in found:
        terminal.echo(found["image"])
    if "state" not in found:
        return ExitCode.SUCCESS
    if not as_json:
        terminal.note(f"{found['state']}: {found.get('message') or 'no image'}", "warn")
        if fallback := found.get("fallback"):
            terminal.note(f"older image, of commit {fallback['commit'][:12]}: {fallback['image']}")
    return ExitCode.NOT_FOUND
