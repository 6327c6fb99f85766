"""The outbox on both databases: what is written down, who may tell it, in which order, and what is forgotten."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import event, func, select, update

from base.report_channels import GITHUB_STATUS
from db.database import Database
from db.models import Build, Repository
from db.queue import enqueue, outbox, supersede, transitions
from db.queue.outbox import ReportLease
from db.queue.transitions import BuildResult
from db.records import repositories
from db.report_model import Report
from db.status import Lease, Reason, Status, Trigger
from tests.conftest import COMMIT, NOW, RECIPE

NOTIFIED = "notify:0123456789ab"
OTHER = "f" * 40
SECOND = timedelta(seconds=1)
DONE = BuildResult(Status.SUCCEEDED)

Push = Callable[..., int]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, channels=(GITHUB_STATUS, NOTIFIED))
    yield database
    database.dispose()


@pytest.fixture
def repository(database: Database) -> Repository:
    with database.write() as session:
        return repositories.record(session, full_name="Org/Repo", provider_id=1, webhook_active=True, now=NOW)


@pytest.fixture
def push(database: Database, repository: Repository) -> Push:
    def ask(commit: str = COMMIT, now: datetime = NOW) -> int:
        with database.write() as session:
            placed = enqueue.enqueue_entry(
                session,
                repository=repository,
                ref="refs/heads/main",
                commit=commit,
                recipe=RECIPE,
                trigger=Trigger.PUSH,
                force=True,
                now=now,
            )
        assert placed.build is not None
        return placed.build.id

    return ask


def end(database: Database, result: BuildResult = DONE, now: datetime = NOW) -> None:
    with database.write() as session:
        build = transitions.claim(session, worker="w", now=now)
        assert build is not None
        assert transitions.finish(session, Lease(build.id, build.attempt), result, now=now)


def told(database: Database, channel: str) -> list[tuple[int, Status, str | None]]:
    with database.read() as session:
        rows = session.scalars(select(Report).where(Report.channel == channel).order_by(Report.id))
        return [(row.build_id, row.status, row.outcome) for row in rows]


def claim(database: Database, channel: str = GITHUB_STATUS, now: datetime = NOW) -> Report | None:
    with database.write() as session:
        return outbox.claim(session, channel, now=now)


def claimed(
    database: Database, channel: str = GITHUB_STATUS, now: datetime = NOW
) -> tuple[Report, ReportLease]:
    report = claim(database, channel, now)
    assert report is not None
    return report, ReportLease(report.id, report.tries)


def test_each_channel_is_noted_what_concerns_it(database: Database, push: Push) -> None:
    build = push()
    end(database, BuildResult(Status.FAILED, Reason.USER_ERROR, "package_not_found", "No package nump."))
    assert told(database, GITHUB_STATUS) == [(build, Status.QUEUED, None), (build, Status.FAILED, None)]
    assert told(database, NOTIFIED) == [
        (build, Status.QUEUED, None),
        (build, Status.RUNNING, None),
        (build, Status.FAILED, None),
    ]


def test_a_report_is_a_copy_of_its_moment(database: Database, push: Push) -> None:
    push()
    end(database, BuildResult(Status.FAILED, Reason.USER_ERROR, "package_not_found", "No package nump."))
    with database.read() as session:
        first, _, last = session.scalars(
            select(Report).where(Report.channel == NOTIFIED).order_by(Report.id)
        ).all()
    assert (first.status, first.reason, first.message, first.attempt) == (Status.QUEUED, None, None, 0)
    assert (last.reason, last.cause, last.message, last.attempt) == (
        Reason.USER_ERROR,
        "package_not_found",
        "No package nump.",
        1,
    )
    assert (last.commit, last.created_at, last.due_at) == (COMMIT, NOW, NOW)


def test_github_is_told_only_of_repositories_whose_pushes_arrive(
    database: Database, push: Push, repository: Repository
) -> None:
    with database.write() as session:
        session.execute(update(Repository).values(webhook_since=None))
    build = push()
    assert told(database, GITHUB_STATUS) == []
    assert told(database, NOTIFIED) == [(build, Status.QUEUED, None)]


def test_what_is_rolled_back_is_not_noted(database: Database, push: Push, repository: Repository) -> None:
    with pytest.raises(RuntimeError), database.write() as session:
        wish: dict[str, str] = {"ref": "refs/heads/main", "commit": COMMIT, "recipe": RECIPE}
        enqueue.enqueue_entry(session, repository=repository, trigger=Trigger.PUSH, now=NOW, **wish)  # type: ignore[arg-type]
        raise RuntimeError
    assert told(database, GITHUB_STATUS) == told(database, NOTIFIED) == []


def test_superseding_deleting_and_cancelling_are_noted(
    database: Database, push: Push, repository: Repository
) -> None:
    first, second, third = push("1" * 40), push("2" * 40), push("3" * 40)
    with database.write() as session:
        build = session.get_one(Build, second)
        supersede.supersede(session, build, cancel=True, now=NOW)
        transitions.cancel(session, second, by="ada", now=NOW)
        supersede.cancel_ref(session, repository, "refs/heads/main", now=NOW)
    with database.read() as session:
        found = session.execute(
            select(Report.build_id, Report.reason).where(
                Report.channel == GITHUB_STATUS, Report.status == Status.CANCELLED
            )
        ).all()
    # The third was superseded too: it has no time of its push, and counts as older.
    assert {row.build_id: row.reason for row in found} == {
        first: Reason.SUPERSEDED,
        second: Reason.REQUESTED,
        third: Reason.SUPERSEDED,
    }


def test_nothing_is_written_where_nobody_is_told(database_url: str) -> None:
    database = Database(database_url)
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    with database.write() as session:
        repository = repositories.record(session, full_name="Org/Repo", webhook_active=True, now=NOW)
        wish: dict[str, str] = {"ref": "refs/heads/main", "commit": COMMIT, "recipe": RECIPE}
        enqueue.enqueue_entry(session, repository=repository, trigger=Trigger.PUSH, now=NOW, **wish)  # type: ignore[arg-type]
    end(database)
    assert statements and not [one for one in statements if "report" in one]
    database.dispose()


def test_only_the_newest_of_a_commit_is_told_to_github(database: Database, push: Push) -> None:
    build = push()
    end(database)
    report, telling = claimed(database)
    assert (report.build_id, report.status, report.tries) == (build, Status.SUCCEEDED, 1)
    with database.write() as session:
        assert outbox.mark_delivered(session, telling, now=NOW)
    assert claim(database) is None
    assert told(database, GITHUB_STATUS) == [
        (build, Status.QUEUED, "overtaken"),
        (build, Status.SUCCEEDED, "delivered"),
    ]


def test_a_build_that_is_made_again_overtakes_what_its_commit_was_told(
    database: Database, push: Push
) -> None:
    push()
    end(database, BuildResult(Status.FAILED, Reason.TIME_LIMIT))
    again = push()
    report, _ = claimed(database)
    assert (report.build_id, report.status) == (again, Status.QUEUED)


def test_notifications_come_one_by_one_and_in_order(database: Database, push: Push) -> None:
    push()
    end(database)
    for status in (Status.QUEUED, Status.RUNNING, Status.SUCCEEDED):
        report, telling = claimed(database, NOTIFIED)
        assert report.status is status
        assert claim(database, NOTIFIED) is None  # the next waits for this one
        with database.write() as session:
            assert outbox.mark_delivered(session, telling, now=NOW)
    assert claim(database, NOTIFIED) is None


def test_other_commits_do_not_wait(database: Database, push: Push) -> None:
    push()
    push(OTHER)
    commits = {claimed(database, NOTIFIED)[0].commit for _ in range(2)}
    assert commits == {COMMIT, OTHER}


def test_what_is_being_told_is_not_overtaken_and_holds_the_next_back(database: Database, push: Push) -> None:
    push()
    _, telling = claimed(database)
    end(database)
    # Told at the same time, the older could arrive last and stand there for good.
    assert claim(database) is None
    with database.write() as session:
        assert outbox.mark_delivered(session, telling, now=NOW)
    assert claimed(database)[0].status is Status.SUCCEEDED


def test_a_teller_that_died_is_replaced_and_has_nothing_more_to_say(database: Database, push: Push) -> None:
    push()
    _, dead = claimed(database)
    later = NOW + outbox.LEASE_LENGTH + SECOND
    report, telling = claimed(database, now=later)
    assert (report.id, report.tries) == (dead.report_id, 2)
    with database.write() as session:
        assert not outbox.mark_delivered(session, dead, now=later)
        assert not outbox.give_up(session, dead, "late", now=later)
        assert not outbox.reschedule(session, dead, "late", until=later)
        assert outbox.mark_delivered(session, telling, now=later)
        assert not outbox.mark_delivered(session, telling, now=later)


def test_what_is_put_off_is_due_then_and_not_before(database: Database, push: Push) -> None:
    build = push()
    _, telling = claimed(database)
    until = NOW + timedelta(minutes=5)
    with database.write() as session:
        assert outbox.reschedule(session, telling, "it cannot be reached", until=until)
    with database.read() as session:
        assert not outbox.is_due(session, GITHUB_STATUS, now=until - SECOND)
        assert outbox.is_due(session, GITHUB_STATUS, now=until)
        assert outbox.waiting(session) == {GITHUB_STATUS: 1, NOTIFIED: 1}
    assert claim(database, now=until - SECOND) is None
    report, _ = claimed(database, now=until)
    assert (report.build_id, report.error) == (build, "it cannot be reached")


def test_a_newer_report_does_not_wait_for_one_that_was_put_off(database: Database, push: Push) -> None:
    push()
    _, telling = claimed(database)
    with database.write() as session:
        outbox.reschedule(session, telling, "it cannot be reached", until=NOW + timedelta(minutes=30))
    end(database)
    assert claimed(database)[0].status is Status.SUCCEEDED


def test_what_is_given_up_is_kept_for_an_admin(database: Database, push: Push) -> None:
    build = push()
    _, telling = claimed(database)
    with database.write() as session:
        assert outbox.give_up(session, telling, "GitHub refuses (404)", now=NOW)
    assert claim(database) is None
    with database.read() as session:
        (problem,) = outbox.list_given_up(session)
        assert outbox.waiting(session) == {NOTIFIED: 1}
    assert (problem.build_id, problem.error) == (build, "GitHub refuses (404)")


def test_many_tellers_tell_each_report_once(database: Database, push: Push) -> None:
    count = 24
    for number in range(count):
        push(f"{number:040x}")
    got: list[int] = []

    def work() -> None:
        while (report := claim(database)) is not None:
            got.append(report.id)
            with database.write() as session:
                outbox.mark_delivered(session, ReportLease(report.id, report.tries), now=NOW)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    # A teller that found all of them locked went home early; what it left is there for the next.
    work()
    assert len(got) == len(set(got)) == count


def test_old_reports_are_removed_and_only_those(database: Database, push: Push) -> None:
    push()
    _, telling = claimed(database)
    with database.write() as session:
        outbox.mark_delivered(session, telling, now=NOW)
    push(OTHER)
    with database.write() as session:
        assert outbox.remove_settled(session, now=NOW + outbox.KEPT_FOR) == 0
        assert outbox.remove_settled(session, now=NOW + outbox.KEPT_FOR + SECOND) == 1
    # Nobody has told the others for as long: they end as given up, and go a week later.
    assert {outcome for _, _, outcome in told(database, GITHUB_STATUS)} == {"gave_up"}
    with database.write() as session:
        assert outbox.remove_settled(session, now=NOW + 3 * outbox.KEPT_FOR) == 3
        assert session.scalar(select(func.count()).select_from(Report)) == 0
