"""Run one measurement over histories of several sizes, in SQLite and in PostgreSQL.

Set SIZES=100,10000 in the environment to measure fewer.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench.harness.postgresql import new_database, postgresql_server

SIZES = tuple(int(size) for size in os.environ.get("SIZES", "100,10000,1000000").split(","))

T = TypeVar("T")


def measure_sizes(folder: Path, measure: Callable[[str, Path, str, int], T]) -> dict[str, list[T]]:
    """Return the results of `measure` for each size, by database.

    It is called with the database's name, a folder that does not exist, its address ("" for SQLite) and the size.
    """
    found: dict[str, list[T]] = {"SQLite": [], "PostgreSQL": []}
    for size in SIZES:
        found["SQLite"].append(measure("SQLite", folder / f"sqlite-{size}", "", size))
    with postgresql_server(folder / "server") as running:
        for size in SIZES:
            with new_database(running) as address:
                where = folder / f"postgresql-{size}"
                found["PostgreSQL"].append(measure("PostgreSQL", where, address, size))
    return found
