"""`repo2hub web`: run a web process, until a signal stops it."""

from typing import Any, get_args

import click

from repo2hub.output import structured_logging
from repo2hub.startup import listen_address, webhook_secret_file
from repo2hub.startup.database_schema import require_current_schema
from webhook.serving.server import run
from webhook.settings import Role, WebSettings


@click.command()
@listen_address.listen_options
@click.option(
    "--role",
    type=click.Choice(get_args(Role)),
    help="`streams`: log streams and the build API; `webhook`: all else.  [env: REPO2HUB_ROLE; default: all]",
)
def web(**options: Any) -> None:
    """Run a web process: webhook, API and pages.

    For a site with hundreds of log viewers, run two processes on the same database, one with --role webhook and
    one with --role streams, behind a web server that routes requests to them.
    """
    overrides = listen_address.drop_unset(options)
    settings = WebSettings.load(**overrides)
    if (
        not settings.webhook_secrets
        and settings.role != "streams"
        and (secret := webhook_secret_file.read_secret(settings.data_dir))
    ):
        settings = WebSettings.load(**overrides, webhook_secrets=secret)
    structured_logging.configure(settings.log_format)
    require_current_schema(settings)
    run(settings)
