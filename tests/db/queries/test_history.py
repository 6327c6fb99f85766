"""What the pages list: the history by keyset, its filters and search, what is under way, and for whose eyes."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import case, literal, text
from sqlalchemy.orm import Session

from db.database import Database
from db.models import Build, Repository
from db.queries import durations, history, overview
from db.queries.history import SEARCH_WINDOW, BuildFilter
from db.queries.visibility import UNRESTRICTED, ReadAccess
from db.queue import transitions
from db.queue.enqueue import Enqueued
from db.queue.enqueue import enqueue as enqueue_build
from db.records import builders, repositories
from db.status import Reason, Status, Trigger
from tests.conftest import NOW, RECIPE
from tests.db.numbered_rows import commit, insert_rows, number
from tests.db.queue.test_claim_plan import plan_of

pytestmark = pytest.mark.slow

EVERYTHING = BuildFilter()
MAIN, DEV = "refs/heads/main", "refs/heads/dev"


@pytest.fixture
def repository(database: Database) -> Repository:
    """A repository of which GitHub has told that it is public."""
    with database.write() as session:
        return repositories.record(session, full_name="Org/Repo", provider_id=1, private=False, now=NOW)


@pytest.fixture
def other(database: Database) -> Repository:
    """A private repository beside the public one."""
    with database.write() as session:
        return repositories.record(session, full_name="Org/Secret", provider_id=2, private=True, now=NOW)


Ended = Callable[..., int]


@pytest.fixture
def ended(database: Database, repository: Repository) -> Ended:
    """Write a build that has ended, and return its id; what matters to the test is given by name."""
    count = iter(range(10_000))

    def write(of: Repository = repository, **values: object) -> int:
        number = next(count)
        row = {
            "repository_id": of.id,
            "ref": MAIN,
            "commit": f"{number:040x}",
            "recipe": RECIPE,
            "trigger": Trigger.PUSH,
            "priority": 20,
            "status": Status.SUCCEEDED,
            "run_after": NOW,
            "created_at": NOW,
            "started_at": NOW,
            "finished_at": NOW + timedelta(seconds=60),
            **values,
        }
        if row["status"] is not Status.SUCCEEDED:
            row.setdefault("reason", Reason.USER_ERROR)
        with database.write() as session:
            build = Build(**row)
            session.add(build)
            session.flush()
            return build.id

    return write


def listed(
    database: Database, wanted: BuildFilter, read_access: ReadAccess = UNRESTRICTED, **which: int
) -> list[int]:
    with database.read() as session:
        return [build.id for build in history.page(session, read_access, wanted, **which)]


def pages(
    database: Database, wanted: BuildFilter, limit: int, read_access: ReadAccess = UNRESTRICTED
) -> Iterator[list[int]]:
    below = history.MAX_ID
    while page := listed(database, wanted, read_access, below=below, limit=limit):
        yield page
        below = page[-1]


@pytest.fixture
def mixed(ended: Ended, repository: Repository, other: Repository) -> list[tuple[int, dict[str, object]]]:
    """A build of each kind, several times over, of two repositories and two refs."""
    made = []
    for _ in range(3):
        for of in (repository, other):
            for ref in (MAIN, DEV):
                for status in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED):
                    for trigger in Trigger:
                        values = {"ref": ref, "status": status, "trigger": trigger}
                        made.append((ended(of, **values), {"repository": of.id, **values}))
    return made


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
def test_pages_hold_exactly_what_a_filter_wants_newest_first(
    database: Database,
    repository: Repository,
    mixed: list[tuple[int, dict[str, object]]],
    which: dict[str, object],
) -> None:
    asked = {name: repository.id if name == "repository" else value for name, value in which.items()}
    fitting = [number for number, values in mixed if asked.items() <= values.items()]
    wanted = BuildFilter(
        repository.id if "repository" in which else None,
        (DEV,) if which.get("ref") == DEV else (MAIN,) if which.get("ref") else (),
        which.get("status"),  # type: ignore[arg-type]
        which.get("trigger"),  # type: ignore[arg-type]
    )
    newest_first = sorted(fitting, reverse=True)
    full_pages = [newest_first[start : start + 4] for start in range(0, len(newest_first), 4)]
    assert list(pages(database, wanted, limit=4)) == full_pages


def test_a_page_stays_where_it_was_when_builds_are_added_above_it(database: Database, ended: Ended) -> None:
    numbers = [ended() for _ in range(6)]
    first = listed(database, BuildFilter(), limit=3)
    ended()
    assert listed(database, BuildFilter(), below=first[-1], limit=3) == numbers[2::-1]


def test_what_has_not_ended_is_not_in_the_history(
    database: Database, ended: Ended, enqueue: Callable[..., Enqueued]
) -> None:
    done = ended()
    enqueue(commit="f" * 40)
    assert listed(database, BuildFilter()) == [done]
    assert listed(database, BuildFilter(status=Status.QUEUED)) == []


def test_only_who_may_sees_what_is_private(
    database: Database, ended: Ended, repository: Repository, other: Repository
) -> None:
    public, hidden = ended(), ended(other)
    asked = ended(other, requested_by="ada")
    assert listed(database, BuildFilter()) == [asked, hidden, public]
    assert listed(database, BuildFilter(), ReadAccess(False)) == [public]
    assert listed(database, BuildFilter(), ReadAccess(False, "ada")) == [asked, public]
    assert listed(database, BuildFilter(), ReadAccess(False, None, ("org/s*",))) == [asked, hidden, public]
    assert listed(database, BuildFilter(other.id, status=Status.SUCCEEDED), ReadAccess(False, "grace")) == []
    with database.read() as session:
        assert [r.full_name for r in history.search_repositories(session, ReadAccess(False), "ORG")] == [
            "Org/Repo"
        ]
        assert len(history.search_repositories(session, UNRESTRICTED, "org")) == 2


def test_a_page_for_somebody_has_no_holes(database: Database, ended: Ended, other: Repository) -> None:
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

    def found(words: str, wanted: BuildFilter = EVERYTHING) -> list[int]:
        with database.read() as session:
            return [build.id for build in history.search(session, UNRESTRICTED, wanted, words).builds]

    assert found("xarray") == [title]
    assert found("100%_") == [title]
    assert found("%") == [title]
    assert found("hopper") == [author]
    assert found("numppy") == [message]
    assert found("numppy", BuildFilter(status=Status.SUCCEEDED)) == []
    assert len(found("org/repo")) == 4


def test_a_search_looks_through_a_window_at_a_time_and_comes_to_the_end(
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


def test_builds_are_found_by_the_beginning_of_their_commit(
    database: Database, ended: Ended, enqueue: Callable[..., Enqueued]
) -> None:
    first, second = ended(commit="abcdef" + "0" * 34), ended(commit="abcdef" + "9" * 34)
    ended(commit="abcdf0" + "0" * 34)
    waiting = enqueue(commit="abcdef" + "f" * 34).build
    assert waiting is not None
    with database.read() as session:
        found = history.builds_by_commit_prefix(session, UNRESTRICTED, "abcdef")
    assert [build.id for build in found] == [waiting.id, second, first]


def test_what_is_under_way_stands_in_its_order_with_its_place(
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
        read_access: ReadAccess, wanted: BuildFilter = EVERYTHING, limit: int = 50
    ) -> tuple[list[object], int]:
        with database.read() as session:
            found, total = history.active_builds(session, read_access, wanted, limit=limit)
            return [waiting.position for waiting in found], total

    # The one that somebody waits for goes first; who may not see it still sees the true places.
    assert active_builds(UNRESTRICTED) == ([None, 1, 2, 3, 4], 5)
    assert active_builds(ReadAccess(False)) == ([None, 2, 3, 4], 4)
    assert active_builds(UNRESTRICTED, BuildFilter(status=Status.QUEUED), limit=2) == ([1, 2], 4)
    assert active_builds(UNRESTRICTED, BuildFilter(status=Status.FAILED)) == ([], 0)


def test_the_expected_time_is_the_median_of_the_last_good_builds(
    database: Database, repository: Repository, ended: Ended
) -> None:
    def expected() -> timedelta | None:
        with database.read() as session:
            return durations.expected_duration(session, repository.id)

    assert expected() is None
    for seconds in (10, 500, 20):
        ended(finished_at=NOW + timedelta(seconds=seconds))
    ended(status=Status.FAILED, finished_at=NOW + timedelta(seconds=1))
    assert expected() == timedelta(seconds=20)


def test_a_build_is_compared_with_the_last_good_one_before_it(
    database: Database, repository: Repository, ended: Ended
) -> None:
    good, failed, later = ended(), ended(status=Status.FAILED), ended()
    with database.read() as session:
        before = durations.last_successful(session, repository.id, below=failed)
        assert before is not None and before.id == good
        assert durations.last_successful(session, repository.id, below=good) is None
        newest = durations.last_successful(session, repository.id)
        assert newest is not None and newest.id == later


def test_builders_are_known_until_they_leave_and_silent_when_they_are_not_heard_of(
    database: Database,
) -> None:
    def say(name: str, at: timedelta) -> None:
        with database.write() as session:
            builders.record_presence(session, name=name, slots=2, version="1", started_at=NOW, now=NOW + at)

    say("a", timedelta(0))
    say("a", timedelta(seconds=30))
    say("b", timedelta(seconds=100))
    now = NOW + timedelta(seconds=130)
    with database.read() as session:
        found = [(one.name, builders.is_alive(one, now)) for one in builders.list_recent(session, now)]
    assert found == [("b", True), ("a", False)]
    with database.write() as session:
        builders.remove(session, "b")
    with database.read() as session:
        assert [one.name for one in builders.list_recent(session, now)] == ["a"]
        assert builders.list_recent(session, now + timedelta(days=8)) == []


def test_the_figures_are_of_the_last_days(
    database: Database, ended: Ended, enqueue: Callable[..., Enqueued]
) -> None:
    ended(finished_at=NOW - timedelta(days=9), started_at=NOW - timedelta(days=9))
    ended(finished_at=NOW + timedelta(seconds=60))
    ended(status=Status.FAILED, cause="no_space", started_at=None)
    enqueue(commit="f" * 40)
    with database.read() as session:
        found = overview.ended_since(session, NOW - timedelta(days=7))
        depth = overview.queue_depth(session)
    assert [(one.status, one.cause, one.seconds) for one in found] == [
        (Status.FAILED, "no_space", None),
        (Status.SUCCEEDED, None, 60.0),
    ]
    assert depth == (1, 0, NOW)


@pytest.fixture
def full(database: Database, repository: Repository) -> Database:
    """As many builds as make a database look for an index; only one in a thousand failed."""
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
    ("wanted", "index"),
    [
        (BuildFilter(status=Status.FAILED), "ix_build_history"),
        (BuildFilter(trigger=Trigger.LAUNCH), "ix_build_history"),
        (BuildFilter(1, status=Status.FAILED), "ix_build_history_repository"),
        (BuildFilter(1), "ix_build_history_repository"),
        (BuildFilter(1, (MAIN,), Status.FAILED, Trigger.PUSH), "ix_build_history_ref"),
    ],
    ids=str,
)
def test_each_filter_is_read_by_its_index_in_order(full: Database, wanted: BuildFilter, index: str) -> None:
    plan = plan_of(full, lambda session: history.page(session, UNRESTRICTED, wanted, limit=50))
    assert index in plan, plan
    assert "Seq Scan on build" not in plan and "SCAN build\n" not in f"{plan}\n", plan
    assert "Sort" not in plan and "TEMP B-TREE" not in plan, plan


def test_a_page_half_way_down_is_read_from_there(full: Database) -> None:
    half = BuildFilter(status=Status.FAILED)
    plan = plan_of(full, lambda session: history.page(session, UNRESTRICTED, half, below=10_000, limit=50))
    assert ("id<?" if full.is_sqlite else "id) < ROW(") in plan, plan


def test_what_runs_is_read_without_all_the_rest(full: Database) -> None:
    plan = plan_of(full, history.list_running)
    assert "ix_build_lease" in plan or "uq_build_active" in plan, plan
    assert "Seq Scan on build" not in plan and "pk_build" not in plan, plan


def test_the_whole_history_is_read_from_its_end(full: Database) -> None:
    plan = plan_of(full, lambda session: history.page(session, UNRESTRICTED, BuildFilter(), limit=50))
    assert "Sort" not in plan and "TEMP B-TREE" not in plan, plan
    assert "Backward using pk_build" in plan or "INTEGER PRIMARY KEY" in plan, plan


def test_a_commit_is_found_by_an_index(full: Database) -> None:
    def by_commit(session: Session) -> object:
        return history.builds_by_commit_prefix(
            session, UNRESTRICTED, "00000000000000000000000000000000000001f"
        )

    plan = plan_of(full, by_commit)
    assert "ix_build_commit_prefix" in plan and "Seq Scan" not in plan, plan
