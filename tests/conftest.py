"""What the tests of every kind share: both real databases, a clock, and builds in each state.

PostgreSQL is a throw-away cluster for each process of a test run, started by `machine/postgresql`; each test gets
its database empty. SQLite is a fresh migrated file.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from db import migrate
from db.columns import Base
from db.database import Database
from db.models import Build, Repository
from db.queue import transitions
from db.queue.enqueue import Enqueued
from db.queue.enqueue import enqueue as enqueue_build
from db.records import repositories
from db.status import Lease, Trigger
from demo.github.git_server import GitServer

pytest_plugins = ["tests.support.isolation", "tests.support.schedule"]

# A shell that starts something in its background makes it deaf to SIGINT, and all that it starts in turn; what
# stops on Ctrl-C here must not depend on who started the tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The tests talk to servers of this machine only, which a proxy would not reach.
for _name in ("no_proxy", "NO_PROXY"):
    os.environ[_name] = ",".join(filter(None, (os.environ.get(_name), "localhost,127.0.0.1")))

ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
RECIPE = "5ca1ab1e0000"
TEMPLATE = f"template_{os.getpid()}"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The address of a running PostgreSQL in which databases may be made."""
    given = os.environ.get("REPO2HUB_TEST_POSTGRESQL")
    if given:
        yield given
        return
    # It lives until its input closes, so that none is left behind by a test run that was killed.
    script = str(ROOT / "machine" / "postgresql")
    with subprocess.Popen([script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert url, "machine/postgresql did not start; it says why above"
        yield url


def administer(server: str, *statements: str) -> None:
    """Execute statements that stand outside of any transaction."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@contextmanager
def database_of(server: str, name: str, made: str = "") -> Iterator[str]:
    """Make a database, give its address, and drop it at the end."""
    administer(server, f"CREATE DATABASE {name} {made}")
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> Iterator[str]:
    """The server's address, once it has a migrated database to copy."""
    url = make_url(postgresql_server).set(drivername="postgresql+psycopg")
    server = url.render_as_string(hide_password=False)
    # A name of this run's own: several may share a server.
    administer(server, f"DROP DATABASE IF EXISTS {TEMPLATE}", f"CREATE DATABASE {TEMPLATE}")
    database = Database(url.set(database=TEMPLATE).render_as_string(hide_password=False))
    migrate.upgrade(database)
    database.dispose()
    yield server
    administer(server, f"DROP DATABASE {TEMPLATE}")


@pytest.fixture(scope="session")
def postgresql_database(postgresql_template: str) -> Iterator[str]:
    """The address of a migrated database of this process's tests; `postgresql_url` is the one to use."""
    with database_of(postgresql_template, f"tests_{os.getpid()}", f"TEMPLATE {TEMPLATE}") as address:
        yield address


@pytest.fixture
def postgresql_url(postgresql_database: str) -> Iterator[str]:
    """A migrated PostgreSQL database without a row, whose numbers begin at 1.

    It is emptied, which takes a tenth of the time of creating it again.
    """
    yield postgresql_database
    administer(
        postgresql_database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        f"TRUNCATE {', '.join(Base.metadata.tables)} RESTART IDENTITY",
    )


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "repo2hub.db"
    database = Database(f"sqlite:///{path}")
    migrate.upgrade(database)
    database.dispose()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh, migrated SQLite database."""
    shutil.copy(sqlite_template, tmp_path / "repo2hub.db")
    return f"sqlite:///{tmp_path / 'repo2hub.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database: the test runs once on each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.dispose()


@pytest.fixture
def repository(database: Database) -> Repository:
    with database.write() as session:
        return repositories.record(session, full_name="Org/Repo", provider_id=1, now=NOW)


@pytest.fixture
def enqueue(database: Database, repository: Repository) -> Callable[..., Enqueued]:
    """Request a build; a test passes the fields that matter to it."""

    def request(**fields: object) -> Enqueued:
        values: dict[str, object] = {
            "ref": "refs/heads/main",
            "commit": COMMIT,
            "recipe": RECIPE,
            "trigger": Trigger.PUSH,
            "now": NOW,
            **fields,
        }
        with database.write() as session:
            return enqueue_build(session, repository=repository, **values)  # type: ignore[arg-type]

    return request


@pytest.fixture
def queued_build(enqueue: Callable[..., Enqueued]) -> Build:
    build = enqueue().build
    assert build is not None
    return build


@pytest.fixture
def running_build(database: Database, queued_build: Build) -> Build:
    with database.write() as session:
        build = transitions.claim(session, worker="worker-1", now=NOW)
    assert build is not None and build.id == queued_build.id
    return build


@pytest.fixture
def lease(running_build: Build) -> Lease:
    return Lease(running_build.id, running_build.attempt)


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitServer]:
    """GitHub's git side: `git http-backend` over bare repositories."""
    with GitServer(tmp_path / "github") as server:
        yield server
