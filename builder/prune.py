"""Freeing a builder's disk: images that nobody uses, and the engine's build cache beyond a size.

An image's record goes first, so that no lookup gives it out any more, and the image a while later: whoever was
told of it a moment ago has by then a container, and the engine keeps what a container uses. Then its record comes
back. Of an image that is in a registry the record stays, and only this machine's copy goes: which one is, its own
name says, and not the settings of whoever prunes.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.image_names import is_in_registry
from builder.engine.docker_client import Engine
from builder.errors import InfrastructureError
from db.database import Database
from db.records import retention
from db.records.retention import UnusedImage

GRACE = 60.0
"""Seconds between an image's last answer to a lookup and its removal from the engine."""


@dataclass(frozen=True)
class PruneResult:
    """What became of the images: how many are gone, and the names of those that are in use."""

    count: int
    kept: tuple[str, ...]


def remove_images(
    database: Database,
    engine: Engine,
    images: Sequence[UnusedImage],
    *,
    unused_since: datetime,
    wait: Callable[[float], None] = time.sleep,
) -> PruneResult:
    """Remove images from the engine, and from the records where no registry has them.

    What was built again while a container used it has no record any more, and goes with them.
    Raises InfrastructureError where the engine does not answer; what was not removed by then has its record again.
    """
    in_use = engine.names_in_use()
    used = [image.name for image in images if image.name in in_use]
    free = [image for image in images if image.name not in in_use]
    only_here = [image for image in free if not is_in_registry(image.name)]
    at_once = engine.replaced_names() + [image.name for image in free if is_in_registry(image.name)]
    kept = [name for name in at_once if not engine.remove_image(name)]
    records: list[dict[str, Any]] = []
    try:
        _delete_records(database, only_here, unused_since, records)
        if records:
            wait(GRACE)
        removed, refused = _remove_recorded(database, engine, records)
    finally:
        _restore_records(database, records)  # of what was not come to: an engine that is away, Ctrl-C
    return PruneResult(len(at_once) - len(kept) + removed, (*used, *kept, *refused))


def _remove_recorded(
    database: Database, engine: Engine, records: list[dict[str, Any]]
) -> tuple[int, list[str]]:
    """Take each record out and remove its image; one whose image stays in the engine is remembered."""
    removed, kept = 0, []
    while records:
        with database.read() as session:
            is_wanted = retention.is_needed_again(session, records[-1])
        record = records.pop()
        if not is_wanted and _remove_image(database, engine, record):
            removed += 1
        else:
            kept.append(str(record["name"]))
            _restore_records(database, [record])
    return removed, kept


def _remove_image(database: Database, engine: Engine, record: dict[str, Any]) -> bool:
    """Remove an image; False where the engine keeps it.

    An engine that does not answer in time may finish all the same: the record comes back only with the image.
    """
    name = str(record["name"])
    try:
        return engine.remove_image(name)
    except InfrastructureError:
        if engine.inspect(name) is not None:
            _restore_records(database, [record])
        raise


def _delete_records(
    database: Database, images: Sequence[UnusedImage], unused_since: datetime, records: list[dict[str, Any]]
) -> None:
    """Add to `records` what is taken out of the database."""
    for image in images:
        # One short transaction each: lookups and builds write meanwhile.
        with database.write() as session:
            record = retention.remove_image_record(session, image.image_id, unused_since=unused_since)
        if record is not None:
            records.append(record)


def _restore_records(database: Database, records: Sequence[dict[str, Any]]) -> None:
    for record in records:
        # Each by itself: two images of one transaction could wait for builds that record others in turn.
        with database.write() as session:
            retention.restore_image_record(session, record)
