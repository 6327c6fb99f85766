"""The lists of the pages: the history with its filters and search, active builds, and what is visible to whom."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import case, literal, text
from sqlalchemy.orm import Session

from db.columns import MAX_ID
from db.database import Database
from db.models import Build, Repository
from db.queries import history
from db.queries.history import SEARCH_WINDOW, BuildFilter
from db.queries.visibility import UNRESTRICTED, ReadAccess
from db.queue import transitions
from db.queue.enqueue import Enqueued
from db.queue.enqueue import enqueue as enqueue_build
from db.records import builds, repositories
from db.status import Reason, Status, Trigger
from tests.conftest import NOW, RECIPE
from tests.db.numbered_rows import commit, insert_rows, number
from tests.db.queries.ended_builds import MAIN, Ended, ended, repository
from tests.db.queue.test_claim_plan import plan_of

__all__ = ["ended", "repository"]

pytestmark = pytest.mark.slow

UNFILTERED = BuildFilter()
DEV = "refs/heads/dev"


@pytest.fixture
def other(database: Database) -> Repository:
    """Another repository, which is private."""
    with database.write() as session:
        return repositories.record(session, full_name="Org/Secret", provider_id=2, private=True, now=NOW)


def listed(
    database: Database, filters: BuildFilter, read_access: ReadAccess = UNRESTRICTED, **which: int
) -> list[int]:
    with database.read() as session:
        return [build.id for build in history.page(session, read_access, filters, **which)]


def pages(
    database: Database, filters: BuildFilter, limit: int, read_access: ReadAccess = UNRESTRICTED
) -> Iterator[list[int]]:
    below = MAX_ID
    while page := listed(database, filters, read_access, below=below, limit=limit):
        yield page
        below = page[-1]


@pytest.fixture
def mixed(ended: Ended, repository: Repository, other: Repository) -> list[tuple[int, dict[str, object]]]:
    """Several builds of each status and trigger, in two repositories with two refs each."""
    builds = []
    for _ in range(3):
        for of in (repository, other):
            for ref in (MAIN, DEV):
                for status in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED):
                    for trigger in Trigger:
                        values = {"ref": ref, "status": status, "trigger": trigger}
                        builds.append((ended(of, **values), {"repository": of.id, **values}))
    return builds


FILTERS: list[dict[str, object]] = [
    {},
    {"status": Status.FAILED},
    {"trigger": Trigger.LAUNCH},
    {"status": Status.CANCELLED, "trigger": Trigger.MANUAL},
    {"repository": True},
    {"repository": True, "status": Status.SUCCEEDED},
    {"repository": True, "ref": DEV},
    {"repository": True, "ref": DEV, "trigger": Trigger.PUSH},
    {"repository": True, "ref": MAIN, "status": Status.FAILED, "trigger": Trigger.PUSH},
]


@pytest.mark.parametrize("which", FILTERS, ids=str)
def test_pages_contain_exactly_the_filtered_builds_newest_first(
    database: Database,
    repository: Repository,
    mixed: list[tuple[int, dict[str, object]]],
    which: dict[str, object],
) -> None:
    expected = {name: repository.id if name == "repository" else value for name, value in which.items()}
    matching = [number for number, values in mixed if expected.items() <= values.items()]
    filters = BuildFilter(
        repository.id if "repository" in which else None,
        (DEV,) if which.get("ref") == DEV else (MAIN,) if which.get("ref") else (),
        which.get("status"),  # type: ignore[arg-type]
        which.get("trigger"),  # type: ignore[arg-type]
    )
    newest_first = sorted(matching, reverse=True)
    full_pages = [newest_first[start : start + 4] for start in range(0, len(newest_first), 4)]
    assert list(pages(database, filters, limit=4)) == full_pages


def test_a_page_stays_the_same_when_newer_builds_are_added(database: Database, ended: Ended) -> None:
    numbers = [ended() for _ in range(6)]
    first = listed(database, BuildFilter(), limit=3)
    ended()
    assert listed(database, BuildFilter(), below=first[-1], limit=3) == numbers[2::-1]


def test_active_builds_are_not_in_the_history(
    database: Database, ended: Ended, enqueue: Callable[..., Enqueued]
) -> None:
    build_id = ended()
    enqueue(commit="f" * 40)
    assert listed(database, BuildFilter()) == [build_id]
    assert listed(database, BuildFilter(status=Status.QUEUED)) == []


def test_private_repositories_are_visible_only_with_access(
    database: Database, ended: Ended, repository: Repository, other: Repository
) -> None:
    public, hidden = ended(), ended(other)
    requested = ended(other, requested_by="ada")
    assert listed(database, BuildFilter()) == [requested, hidden, public]
    assert listed(database, BuildFilter(), ReadAccess(False)) == [public]
    assert listed(database, BuildFilter(), ReadAccess(False, "ada")) == [requested, public]
    assert listed(database, BuildFilter(), ReadAccess(False, None, ("org/s*",))) == [
        requested,
        hidden,
        public,
    ]
    assert listed(database, BuildFilter(other.id, status=Status.SUCCEEDED), ReadAccess(False, "grace")) == []
    with database.read() as session:
        assert [r.full_name for r in history.search_repositories(session, ReadAccess(False), "ORG")] == [
            "Org/Repo"
        ]
        assert len(history.search_repositories(session, UNRESTRICTED, "org")) == 2


def test_pages_of_visible_builds_are_full(database: Database, ended: Ended, other: Repository) -> None:
    public = []
    for _ in range(5):
        ended(other)
        public.append(ended())
    assert list(pages(database, BuildFilter(), 2, ReadAccess(False))) == [
        public[:2:-1],
        public[2:0:-1],
        public[:1],
    ]


def test_a_search_finds_words_in_title_author_message_and_repository(
    database: Database, ended: Ended
) -> None:
    title = ended(commit_title="Pin XArray 100%_")
    author = ended(commit_author="Grace Hopper")
    message = ended(status=Status.FAILED, message="There is no package numppy")
    ended(commit_title="Another")

    def found(words: str, filters: BuildFilter = UNFILTERED) -> list[int]:
        with database.read() as session:
            return [build.id for build in history.search(session, UNRESTRICTED, filters, words).builds]

    assert found("xarray") == [title]
    assert found("100%_") == [title]
    assert found("%") == [title]
    assert found("hopper") == [author]
    assert found("numppy") == [message]
    assert found("numppy", BuildFilter(status=Status.SUCCEEDED)) == []
    assert len(found("org/repo")) == 4


def test_a_search_reads_one_window_at_a_time_to_the_end(
    database: Database, repository: Repository, ended: Ended
) -> None:
    first = ended(commit_title="the needle")
    far = first + SEARCH_WINDOW + 500
    ended(id=far, commit_title="something else")
    with database.read() as session:
        found = history.search(session, UNRESTRICTED, BuildFilter(), "needle")
        assert found.builds == [] and found.below == far + 1 - SEARCH_WINDOW
        older = history.search(session, UNRESTRICTED, BuildFilter(), "needle", below=found.below)
        assert [build.id for build in older.builds] == [first] and older.below is None


def test_builds_are_found_by_a_commit_prefix(
    database: Database, ended: Ended, enqueue: Callable[..., Enqueued]
) -> None:
    first, second = ended(commit="abcdef" + "0" * 34), ended(commit="abcdef" + "9" * 34)
    ended(commit="abcdf0" + "0" * 34)
    waiting = enqueue(commit="abcdef" + "f" * 34).build
    assert waiting is not None
    with database.read() as session:
        found = history.builds_by_commit_prefix(session, UNRESTRICTED, "abcdef")
    assert [build.id for build in found] == [waiting.id, second, first]


def test_active_builds_are_listed_with_their_queue_positions(
    database: Database, repository: Repository, enqueue: Callable[..., Enqueued], other: Repository
) -> None:
    made = [enqueue(commit=letter * 40).build for letter in "abcd"]
    with database.write() as session:
        running = transitions.claim(session, worker="w", now=NOW)
        enqueue_build(
            session,
            repository=other,
            ref=MAIN,
            commit="e" * 40,
            recipe=RECIPE,
            trigger=Trigger.MANUAL,
            now=NOW,
        )
    assert running is not None and made[0] is not None and running.id == made[0].id

    def active_builds(
        read_access: ReadAccess, filters: BuildFilter = UNFILTERED, limit: int = 50
    ) -> tuple[list[object], int]:
        with database.read() as session:
            found, total = history.active_builds(session, read_access, filters, limit=limit)
            return [waiting.position for waiting in found], total

    # The interactive build is first. Users who cannot see it still see the real positions.
    assert active_builds(UNRESTRICTED) == ([None, 1, 2, 3, 4], 5)
    assert active_builds(ReadAccess(False)) == ([None, 2, 3, 4], 4)
    assert active_builds(UNRESTRICTED, BuildFilter(status=Status.QUEUED), limit=2) == ([1, 2], 4)
    assert active_builds(UNRESTRICTED, BuildFilter(status=Status.FAILED)) == ([], 0)


@pytest.fixture
def full(database: Database, repository: Repository) -> Database:
    """A database with enough builds for its planner to prefer indexes. One in a thousand failed."""
    columns = Build.__table__.c
    failed = number % 1000 == 0
    with database.write() as session:
        insert_rows(
            session,
            Build,
            20_000,
            repository_id=repository.id,
            ref=MAIN,
            commit=commit,
            recipe=RECIPE,
            trigger=case(
                (number % 10 == 0, literal(Trigger.LAUNCH, columns.trigger.type)),
                else_=literal(Trigger.PUSH, columns.trigger.type),
            ),
            priority=20,
            status=case(
                (failed, literal(Status.FAILED, columns.status.type)),
                else_=literal(Status.SUCCEEDED, columns.status.type),
            ),
            reason=case((failed, literal(Reason.USER_ERROR, columns.reason.type))),
            run_after=NOW,
            created_at=NOW,
            finished_at=NOW,
        )
        session.execute(text("ANALYZE"))
    return database


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (BuildFilter(status=Status.FAILED), "ix_build_history"),
        (BuildFilter(trigger=Trigger.LAUNCH), "ix_build_history"),
        (BuildFilter(1, status=Status.FAILED), "ix_build_history_repository"),
        (BuildFilter(1), "ix_build_history_repository"),
        (BuildFilter(1, (MAIN,), Status.FAILED, Trigger.PUSH), "ix_build_history_ref"),
    ],
    ids=str,
)
def test_each_filter_reads_its_index_in_order(full: Database, filters: BuildFilter, index: str) -> None:
    plan = plan_of(full, lambda session: history.page(session, UNRESTRICTED, filters, limit=50))
    assert index in plan, plan
    assert "Seq Scan on build" not in plan and "SCAN build\n" not in f"{plan}\n", plan
    assert "Sort" not in plan and "TEMP B-TREE" not in plan, plan


def test_a_later_page_starts_reading_at_its_key(full: Database) -> None:
    failed = BuildFilter(status=Status.FAILED)
    plan = plan_of(full, lambda session: history.page(session, UNRESTRICTED, failed, below=10_000, limit=50))
    assert ("id<?" if full.is_sqlite else "id) < ROW(") in plan, plan


def test_running_builds_are_read_by_an_index(full: Database) -> None:
    plan = plan_of(full, builds.list_running)
    assert "ix_build_lease" in plan or "uq_build_active" in plan, plan
    assert "Seq Scan on build" not in plan and "pk_build" not in plan, plan


def test_the_unfiltered_history_reads_the_primary_key_backwards(full: Database) -> None:
    plan = plan_of(full, lambda session: history.page(session, UNRESTRICTED, BuildFilter(), limit=50))
    assert "Sort" not in plan and "TEMP B-TREE" not in plan, plan
    assert "Backward using pk_build" in plan or "INTEGER PRIMARY KEY" in plan, plan


def test_a_commit_prefix_is_read_by_its_index(full: Database) -> None:
    def by_commit(session: Session) -> object:
        return history.builds_by_commit_prefix(
            session, UNRESTRICTED, "00000000000000000000000000000000000001f"
        )

    plan = plan_of(full, by_commit)
    assert "ix_build_commit_prefix" in plan and "Seq Scan" not in plan, plan
