"""`repo2hub prune`: what of images, logs, deliveries and build cache may go, and with --yes its removal."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import click
from sqlalchemy.orm import Session

from builder.engine.docker_client import Engine
from builder.errors import InfrastructureError
from builder.prune import PruneResult, remove_images
from builder.settings import BuilderSettings
from db.database import Database
from db.records import retention
from db.records.retention import UnusedImage
from repo2hub.commands.db import require_current_schema
from repo2hub.output.errors import CommandFailed
from repo2hub.output.terminal import Terminal, Tone

_GIB = 2**30
_MAX_ROWS = 40  # images that are listed by name


@click.command()
@click.option(
    "--unused-days",
    default=30,
    show_default=True,
    type=click.IntRange(1),
    help="Images not used for so long.",
)
@click.option(
    "--keep",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="Newest images of each ref that stay.",
)
@click.option(
    "--logs-days", default=90, show_default=True, type=click.IntRange(7), help="Logs and deliveries that old."
)
@click.option("--cache-gib", type=click.IntRange(0), help="Shrink the engine's build cache to this size.")
@click.option("--yes", is_flag=True, help="Remove it; without this only what would go is shown.")
def prune(unused_days: int, keep: int, logs_days: int, cache_gib: int | None, yes: bool) -> None:
    """Show what nobody needs any more, and with --yes remove it.

    An image stays that a container uses, that a branch or tag stands at, or that is one of the newest of its
    ref, unless that was deleted.
    Where images are in a registry only this machine's copies go. Run it on the builder, as often as you like.
    """
    settings = BuilderSettings.load()
    require_current_schema(settings)
    terminal, database, now = Terminal(), Database(settings.database), datetime.now(UTC)
    unused_since, before = now - timedelta(days=unused_days), now - timedelta(days=logs_days)
    try:
        with database.read() as session:
            images = retention.unused_images(session, unused_since=unused_since, keep=keep)
            logs = retention.count_old_logs(session, before=before)
            deliveries = retention.count_old_deliveries(session, before=before)
        _print_removable(terminal, images, logs, deliveries)
        if not yes:
            terminal.note("Nothing was removed. To remove it: repo2hub prune --yes, with the same options.")
            return
        with Engine() as engine:
            with terminal.waiting("removing; an image goes a minute after its record ..."):
                removed = remove_images(database, engine, images, unused_since=unused_since)
            _print_removed(terminal, removed)
            _remove_in_batches(database, lambda session: retention.remove_old_logs(session, before=before))
            _remove_in_batches(
                database, lambda session: retention.remove_old_deliveries(session, before=before)
            )
            if cache_gib is not None:
                terminal.echo(
                    f"build cache: {engine.prune_build_cache(cache_gib * _GIB) / _GIB:.1f} GiB freed", "good"
                )
    except InfrastructureError as exc:
        raise CommandFailed(exc.message) from exc
    finally:
        database.dispose()


def _print_removable(terminal: Terminal, images: list[UnusedImage], logs: int, deliveries: int) -> None:
    if images:
        terminal.table(
            ("repository", "ref", "size", "last used"), [_image_row(image) for image in images[:_MAX_ROWS]]
        )
    if len(images) > _MAX_ROWS:
        terminal.echo(f"... and {len(images) - _MAX_ROWS} more")
    size = sum(image.size or 0 for image in images) / _GIB
    terminal.echo(f"{len(images)} images, {size:.1f} GiB with what they share counted in each")
    terminal.echo(f"logs of {logs} builds, {deliveries} deliveries")


def _image_row(image: UnusedImage) -> Sequence[tuple[object, Tone]]:
    size, used = f"{(image.size or 0) / _GIB:.1f} GiB", f"{image.used_at:%Y-%m-%d}"
    return [(image.repository, "plain"), (image.ref or "-", "plain"), (size, "plain"), (used, "dim")]


def _print_removed(terminal: Terminal, removed: PruneResult) -> None:
    terminal.echo(f"{removed.count} images removed", "good")
    for name in removed.kept:
        terminal.echo(f"in use, so kept: {name}")


def _remove_in_batches(database: Database, some: Callable[[Session], int]) -> None:
    """Remove in pieces: others write meanwhile."""
    count = 1
    while count:
        with database.write() as session:
            count = some(session)
