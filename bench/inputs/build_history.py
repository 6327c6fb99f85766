"""A history of builds like that of years of use, for measurements over 100, 10,000 or 1,000,000 builds.

The database generates the rows from their numbers and creates the indexes afterwards, so a million builds take
a minute or two. Nothing is random. The history ends now, so that the last days have builds.
"""

import time
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from base.settings import SharedSettings
from db.columns import Base
from db.database import Database
from db.status import Priority
from tests.support.service import Service

BUILDS_OF_A_REPOSITORY = 200
BRANCHES = ("main", "main", "main", "dev", "feature/plots")
"""The branches of each repository, in the order of pushes, which repeats."""

_SECONDS_BETWEEN_BUILDS = 97
_REPORTED_BUILDS = 100_000  # newest builds that have a delivered report in the outbox

_USER_ERROR = ("failed", "user_error", "package_not_found", "No package is called nump.")
_TIME_LIMIT = ("failed", "time_limit", "time_limit", "The build took longer than an hour.")
_SUPERSEDED = ("cancelled", "superseded", None, "A newer push to the same ref replaced this build.")
_SUCCEEDED = ("succeeded", None, None, None)
# The outcomes of ten successive builds of a repository: seven in ten have succeeded.
_OUTCOMES = (
    _SUCCEEDED,
    _SUCCEEDED,
    _USER_ERROR,
    _SUCCEEDED,
    _SUCCEEDED,
    _SUPERSEDED,
    _SUCCEEDED,
    _SUCCEEDED,
    _TIME_LIMIT,
    _SUCCEEDED,
)

# Expressions that differ between the two databases; {of} is an integer expression.
_SQLITE = {
    "commit": "printf('%040x', {of})",
    "moment": "strftime('%Y-%m-%d %H:%M:%S.000000', :end + ({of}), 'unixepoch')",
}
_POSTGRESQL = {
    "commit": "lpad(to_hex({of}), 40, '0')",
    "moment": "to_timestamp(CAST(:end AS double precision) + ({of}))",
}


def insert_service_history(what: str, service: Service, address: str, builds: int) -> list[str]:
    """Call `insert_history` for the database of a service: at `address`, or its SQLite file if that is empty."""
    recipe = SharedSettings(base_image=service.base_image, buildpacks=("uv", "standard")).recipe()
    started = time.perf_counter()
    database = Database(address or f"sqlite:///{service.data_dir / 'repo2hub.db'}")
    names = insert_history(database, builds=builds, recipe=recipe)
    database.dispose()
    print(f"  {what}, {builds:,} builds: inserted in {time.perf_counter() - started:.0f} s", flush=True)
    return names


def insert_history(database: Database, *, builds: int, recipe: str) -> list[str]:
    """Insert `builds` finished builds, and as many repositories as needed; return the repositories' names.

    The database must be migrated and empty. Every repository has a webhook, and every branch points to the commit
    of its last build.
    """
    repositories = max(1, builds // BUILDS_OF_A_REPOSITORY)
    values = {
        "builds": builds,
        "repositories": repositories,
        "recipe": recipe,
        "end": int(datetime.now(UTC).timestamp()),
    }
    with database.engine.connect() as connection:
        if database.is_sqlite:
            connection.execute(text("PRAGMA cache_size=-500000"))
        else:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))
        indices = [index for table in Base.metadata.sorted_tables for index in table.indexes]
        for index in indices:
            index.drop(connection)
        for statement in _statements(database.is_sqlite):
            needed = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(text(statement), needed)
        for index in indices:
            index.create(connection)
        connection.commit()
        _finish_load(connection, database.is_sqlite)
        connection.invalidate()  # because of its settings
    return [f"org-{number % 50}/repo-{number}" for number in range(1, repositories + 1)]


def _finish_load(connection: Connection, is_sqlite: bool) -> None:
    """Set sequences and statistics as if the rows had been inserted one by one."""
    if is_sqlite:
        connection.execute(text("ANALYZE"))
        connection.commit()
        return
    for table in ("repository", "build", "image", "report"):
        connection.execute(text(f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}))"))
    connection.commit()
    cleaner = connection.execution_options(isolation_level="AUTOCOMMIT")
    cleaner.execute(text("SET statement_timeout = 0"))
    cleaner.execute(text("VACUUM ANALYZE"))


def _statements(is_sqlite: bool) -> list[str]:
    """Return the statements that insert the rows. The builds of the repositories alternate."""
    ways = _SQLITE if is_sqlite else _POSTGRESQL

    def moment(of: str) -> str:
        return ways["moment"].format(of=of)

    commit = ways["commit"].format(of="i")
    created = f"({_SECONDS_BETWEEN_BUILDS} * (i - :builds))"
    branch = _sql_case(BRANCHES, "i / :repositories")
    end = [_sql_case([one[column] for one in _OUTCOMES], "i / :repositories") for column in range(4)]
    owner, numbers = (
        "i % :repositories + 1",
        "WITH RECURSIVE n(i) AS (SELECT {} UNION ALL SELECT i + 1 FROM n WHERE i < {})",
    )
    every = numbers.format("1", ":builds")
    return [
        f"""
        INSERT INTO repository (id, provider, provider_id, full_name, name_key, default_branch, private_known,
                                webhook_since, created_at)
        {numbers.format("1", ":repositories")}
        SELECT i, 'gh', i, 'org-' || (i % 50) || '/repo-' || i, 'org-' || (i % 50) || '/repo-' || i, 'main', true,
               {moment("-172800000")}, {moment("-172800000")}
        FROM n""",
        f"""
        INSERT INTO build (id, repository_id, ref, "commit", recipe, "trigger", priority, status, reason, cause,
                           message, attempt, max_attempts, worker, force, run_after, created_at, pushed_at,
                           started_at, fetching_at, building_at, finished_at, commit_title, commit_author)
        {every}
        SELECT i, {owner}, 'refs/heads/' || {branch}, {commit}, :recipe, 'push', {int(Priority.PUSH)}, {end[0]},
               {end[1]}, {end[2]}, {end[3]}, 1, 3, 'builder-1', false, {moment(created)}, {moment(created)},
               {moment(created)}, {moment(f"{created} + 2")}, {moment(f"{created} + 3")},
               {moment(f"{created} + 6")}, {moment(f"{created} + 60 + i % 600")}, 'Change figure ' || i,
               'author-' || (i % 40)
        FROM n""",
        """
        INSERT INTO image (id, build_id, repository_id, "commit", recipe, name, digest, size, built_at,
                           last_used_at)
        SELECT build.id, build.id, repository_id, "commit", recipe,
               'repo2hub/' || full_name || ':' || "commit" || '-' || recipe, 'sha256:' || "commit", 1000000000,
               finished_at, finished_at
        FROM build JOIN repository ON repository.id = repository_id WHERE status = 'succeeded'""",
        """
        INSERT INTO ref_head (repository_id, ref, "commit", pushed_at, learnt_at, learnt_by)
        SELECT repository_id, ref, "commit", pushed_at, pushed_at, 'push'
        FROM build JOIN (SELECT max(id) AS last FROM build GROUP BY repository_id, ref) AS newest ON id = last""",
        f"""
        INSERT INTO report (build_id, repository_id, "commit", channel, status, reason, cause, message, attempt,
                            created_at, tries, outcome, settled_at)
        SELECT id, repository_id, "commit", 'github', status, reason, cause, message, 1, finished_at, 1,
               'delivered', finished_at
        FROM build WHERE id > :builds - {_REPORTED_BUILDS}""",
    ]


def _sql_case(values: "tuple[str, ...] | list[str | None]", number: str) -> str:
    """Return the SQL of the value at index `number`, modulo the number of values."""
    cases = " ".join(
        f"WHEN {place} THEN {'NULL' if value is None else repr(value)}" for place, value in enumerate(values)
    )
    return f"CASE ({number}) % {len(values)} {cases} END"
