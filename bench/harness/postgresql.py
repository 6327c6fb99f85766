"""A PostgreSQL server that waits for the disk, and databases on it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import create_engine, make_url, text

_SCRIPT = Path(__file__).parents[2] / "machine" / "postgresql"


@contextmanager
def postgresql_server(folder: Path) -> Iterator[str]:
    """Give the address of a server that keeps its data below `folder`, with fsync on."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)  # the server runs as another user
    environment = {**os.environ, "TMPDIR": str(folder)}
    argv = [_SCRIPT, "durable"]
    with subprocess.Popen(
        argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        _require_durability(address)
        yield address


def _require_durability(address: str) -> None:
    """Raise RuntimeError where a commit does not wait for the disk: the figures would be of another database."""
    engine = create_engine(address)
    with engine.connect() as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            if connection.execute(text(f"SHOW {name}")).scalar_one() != "on":
                raise RuntimeError(f"PostgreSQL runs without {name}")
    engine.dispose()


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """Give the address of a new database on a server."""
    url = make_url(server).set(drivername="postgresql+psycopg")
    name = f"bench_{uuid4().hex[:8]}"
    administrator = create_engine(url, isolation_level="AUTOCOMMIT")
    with administrator.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    administrator.dispose()
