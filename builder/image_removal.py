"""Free disk space on a builder by removing unused images.

The record of a local image is removed first, so that no lookup returns it any more, and the image a minute
later: a hub that just got its name has a container by then, the engine keeps images of containers, and the
record is restored. The record of an image in a registry stays; only this machine's copy is removed. The image's
name decides which case it is, not the settings of the process that prunes.
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
"""Seconds between the removal of an image's record and of the image."""


@dataclass(frozen=True)
class PruneResult:
    """How many images were removed, and the names of those that were kept because they are in use."""

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
    """Remove images from the engine, and the records of those that no registry has.

    Also removes images that were rebuilt while a container used them, which have no record. Raises
    InfrastructureError if the engine does not answer; images not removed by then get their records back.
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
        _restore_records(database, records)  # of the images not reached: the engine failed, or Ctrl-C
    return PruneResult(len(at_once) - len(kept) + removed, (*used, *kept, *refused))


def _remove_recorded(
    database: Database, engine: Engine, records: list[dict[str, Any]]
) -> tuple[int, list[str]]:
    """Remove the image of each record; restore the record of an image that stays in the engine."""
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
    """Remove an image; return False if the engine keeps it.

    An engine that does not answer in time may still remove it, so the record is restored only if the image is
    there.
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
    """Remove the images' records from the database and add them to `records`."""
    for image in images:
        # One short transaction each, so that lookups and builds can write meanwhile.
        with database.write() as session:
            record = retention.remove_image_record(session, image.image_id, unused_since=unused_since)
        if record is not None:
            records.append(record)


def _restore_records(database: Database, records: Sequence[dict[str, Any]]) -> None:
    for record in records:
        # One transaction each: with several images, it could deadlock with builds that record the same ones.
        with database.write() as session:
            retention.restore_image_record(session, record)
