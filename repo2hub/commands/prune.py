"""`repo2hub prune`: list and remove images, logs, deliveries and build cache that are no longer needed."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import click
from sqlalchemy.orm import Session

from builder.engine.docker_client import Engine
from builder.errors import InfrastructureError
from builder.image_removal import PruneResult, remove_images
from builder.settings import BuilderSettings
from db.database import Database
from db.log_store import LogStore
from db.records import retention
from db.records.logs import DatabaseLogStore
from db.records.retention import UnusedImage
from repo2hub.output.errors import CommandFailed
from repo2hub.output.terminal import Terminal, Tone
from repo2hub.startup.database_schema import require_current_schema

_GIB = 2**30
_MAX_ROWS = 40  # images that are listed by name


@click.command()
@click.option(
    "--unused-days",
    default=30,
    show_default=True,
    type=click.IntRange(1),
    help="Remove images that were not used for this many days.",
)
@click.option(
    "--keep",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="Number of newest images of each ref to keep.",
)
@click.option(
    "--logs-days",
    default=90,
    show_default=True,
    type=click.IntRange(7),
    help="Remove logs and deliveries older than this many days.",
)
@click.option("--cache-gib", type=click.IntRange(0), help="Shrink the engine's build cache to this size.")
@click.option("--yes", is_flag=True, help="Remove them; without this option they are only listed.")
def prune(unused_days: int, keep: int, logs_days: int, cache_gib: int | None, yes: bool) -> None:
    """List unused images, logs and deliveries; remove them with --yes.

    An image is kept if a container uses it, if a branch or tag points to its commit, or if it is one of the
    newest of its ref and the ref was not deleted. If images are in a registry, only the copies on this machine
    are removed. Run this on each builder, as often as you like.
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
            terminal.note("Nothing was removed. To remove these, run the same command with --yes.")
            return
        with Engine() as engine:
            with terminal.waiting("Removing. An image is removed a minute after its record ..."):
                removed = remove_images(database, engine, images, unused_since=unused_since)
            _print_removed(terminal, removed)
            _remove_old_logs(database, DatabaseLogStore(database), before)
            _remove_in_batches(
                database, lambda session: retention.remove_old_deliveries(session, before=before)
            )
            if cache_gib is not None:
                freed = engine.prune_build_cache(cache_gib * _GIB) / _GIB
                terminal.echo(f"{freed:.1f} GiB of build cache removed", "good")
    except InfrastructureError as exc:
        raise CommandFailed(exc.message) from exc
    finally:
        database.dispose()


def _print_removable(terminal: Terminal, images: list[UnusedImage], logs: int, deliveries: int) -> None:
    if images:
        rows = [_image_row(image) for image in images[:_MAX_ROWS]]
        terminal.table(("REPOSITORY", "REF", "SIZE", "LAST USED"), rows)
    if len(images) > _MAX_ROWS:
        terminal.echo(f"... and {len(images) - _MAX_ROWS} more")
    size = sum(image.size or 0 for image in images) / _GIB
    terminal.echo(f"{len(images)} images, {size:.1f} GiB (shared layers are counted for each image)")
    terminal.echo(f"logs of {logs} builds, {deliveries} deliveries")


def _image_row(image: UnusedImage) -> Sequence[tuple[object, Tone]]:
    size, used = f"{(image.size or 0) / _GIB:.1f} GiB", f"{image.used_at:%Y-%m-%d}"
    return [(image.repository, "plain"), (image.ref or "-", "plain"), (size, "plain"), (used, "dim")]


def _print_removed(terminal: Terminal, removed: PruneResult) -> None:
    terminal.echo(f"{removed.count} images removed", "good")
    for name in removed.kept:
        terminal.echo(f"kept, because a container uses it: {name}")


def _remove_old_logs(database: Database, log_store: LogStore, before: datetime) -> None:
    while True:
        with database.read() as session:
            build_ids = retention.find_old_logs(session, before=before)
        if not build_ids:
            return
        log_store.remove(build_ids)


def _remove_in_batches(database: Database, remove_batch: Callable[[Session], int]) -> None:
    """Remove rows in one transaction per batch, so that other writers do not wait for all of it."""
    count = 1
    while count:
        with database.write() as session:
            count = remove_batch(session)
