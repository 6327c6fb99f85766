"""`repo2hub prune`: what of images, logs, deliveries and build cache may go, and with --yes its removal."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import click
from sqlalchemy.orm import Session

from builder.engine import Engine
from builder.errors import InfrastructureError
from builder.prune import Removed, remove_images
from builder.settings import BuilderSettings
from db import retention
from db.engine import Database
from db.retention import Unneeded
from repo2hub.failures import CommandFailed
from repo2hub.terminal import Terminal, Tone
from repo2hub.upgrade import require_current

_GIB = 2**30
_SHOWN = 40  # images that are listed by name


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
    require_current(settings)
    terminal, database, now = Terminal(), Database(settings.database), datetime.now(UTC)
    unused_since, before = now - timedelta(days=unused_days), now - timedelta(days=logs_days)
    try:
        with database.read() as session:
            images = retention.unneeded_images(session, unused_since=unused_since, keep=keep)
            logs = retention.old_logs(session, before=before)
            deliveries = retention.old_deliveries(session, before=before)
        _show(terminal, images, logs, deliveries)
        if not yes:
            terminal.note("Nothing was removed. To remove it: repo2hub prune --yes, with the same options.")
            return
        with Engine() as engine:
            with terminal.waiting("removing; an image goes a minute after its record ..."):
                removed = remove_images(database, engine, images, unused_since=unused_since)
            _tell(terminal, removed)
            _remove(database, lambda session: retention.remove_old_logs(session, before=before))
            _remove(database, lambda session: retention.remove_old_deliveries(session, before=before))
            if cache_gib is not None:
                terminal.say(
                    f"build cache: {engine.shrink_cache(cache_gib * _GIB) / _GIB:.1f} GiB freed", "good"
                )
    except InfrastructureError as exc:
        raise CommandFailed(exc.message) from exc
    finally:
        database.dispose()


def _show(terminal: Terminal, images: list[Unneeded], logs: int, deliveries: int) -> None:
    if images:
        terminal.table(("repository", "ref", "size", "last used"), [_row(image) for image in images[:_SHOWN]])
    if len(images) > _SHOWN:
        terminal.say(f"... and {len(images) - _SHOWN} more")
    size = sum(image.size or 0 for image in images) / _GIB
    terminal.say(f"{len(images)} images, {size:.1f} GiB with what they share counted in each")
    terminal.say(f"logs of {logs} builds, {deliveries} deliveries")


def _row(image: Unneeded) -> Sequence[tuple[object, Tone]]:
    size, used = f"{(image.size or 0) / _GIB:.1f} GiB", f"{image.used_at:%Y-%m-%d}"
    return [(image.repository, "plain"), (image.ref or "-", "plain"), (size, "plain"), (used, "dim")]


def _tell(terminal: Terminal, removed: Removed) -> None:
    terminal.say(f"{removed.count} images removed", "good")
    for name in removed.kept:
        terminal.say(f"in use, so kept: {name}")


def _remove(database: Database, some: Callable[[Session], int]) -> None:
    """Remove in pieces: others write meanwhile."""
    count = 1
    while count:
        with database.write() as session:
            count = some(session)
