"""`repo2hub web`: the receiver, the API and the pages, until a signal ends it."""

from typing import Any, get_args

import click

from repo2hub.commands.db import require_current_schema
from repo2hub.output import structured_logging
from repo2hub.startup import listen_address, webhook_secret_file
from webhook.serve import run
from webhook.settings import Role, WebSettings


@click.command()
@listen_address.listen_options
@click.option(
    "--role",
    type=click.Choice(get_args(Role)),
    help="`streams`: the build API and logs that are followed; `webhook`: all else.  [REPO2HUB_ROLE, else all]",
)
def web(**options: Any) -> None:
    """Serve the webhook, the API and the pages.

    A site with hundreds of viewers may follow logs in a process of its own: one with --role webhook, one with
    --role streams, on the same database, and a web server that sends each what it serves.
    """
    given = listen_address.drop_unset(options)
    settings = WebSettings.load(**given)
    if (
        not settings.webhook_secrets
        and settings.role != "streams"
        and (made := webhook_secret_file.read_secret(settings.data_dir))
    ):
        settings = WebSettings.load(**given, webhook_secrets=made)
    structured_logging.configure(settings.log_format)
    require_current_schema(settings)
    run(settings)
