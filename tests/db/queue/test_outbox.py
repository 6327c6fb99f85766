"""The outbox on both databases: which reports are added, claimed, sent in which order, and removed."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.orm import Session

from base.report_channels import GITHUB_STATUS
from db.database import Database
from db.models import Build, Repository
from db.queue import enqueue, outbox, supersede, transitions
from db.queue.outbox import ReportLease
from db.queue.transitions import BuildResult
from db.records import repositories
from db.report_model import IS_DUE, Report
from db.status import Lease, Reason, Status, Trigger
from tests.conftest import COMMIT, NOW, RECIPE

NOTIFICATION_CHANNEL = "notify:0123456789ab"
OTHER = "f" * 40
SECOND = timedelta(seconds=1)
DONE = BuildResult(Status.SUCCEEDED)

Push = Callable[..., int]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, channels=(GITHUB_STATUS, NOTIFICATION_CHANNEL))
    yield database
    database.dispose()


@pytest.fixture
def repository(database: Database) -> Repository:
    with database.write() as session:
        return repositories.record(session, full_name="Org/Repo", provider_id=1, webhook_active=True, now=NOW)


@pytest.fixture
def push(database: Database, repository: Repository) -> Push:
    def enqueue_push(commit: str = COMMIT, now: datetime = NOW) -> int:
        with database.write() as session:
            entry = enqueue.enqueue_entry(
                session,
                repository=repository,
                ref="refs/heads/main",
                commit=commit,
                recipe=RECIPE,
                trigger=Trigger.PUSH,
                force=True,
                now=now,
            )
        assert entry.build is not None
        return entry.build.id

    return enqueue_push


def end(database: Database, result: BuildResult = DONE, now: datetime = NOW) -> None:
    with database.write() as session:
        build = transitions.claim(session, worker="w", now=now)
        assert build is not None
        assert transitions.finish(session, Lease(build.id, build.attempt), result, now=now)


def reports_of(database: Database, channel: str) -> list[tuple[int, Status, str | None]]:
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


def test_each_channel_gets_the_reports_that_concern_it(database: Database, push: Push) -> None:
    build = push()
    end(database, BuildResult(Status.FAILED, Reason.USER_ERROR, "package_not_found", "No package nump."))
    assert reports_of(database, GITHUB_STATUS) == [(build, Status.QUEUED, None), (build, Status.FAILED, None)]
    assert reports_of(database, NOTIFICATION_CHANNEL) == [
        (build, Status.QUEUED, None),
        (build, Status.RUNNING, None),
        (build, Status.FAILED, None),
    ]


def test_a_report_copies_the_build_at_the_time_of_the_change(database: Database, push: Push) -> None:
    push()
    end(database, BuildResult(Status.FAILED, Reason.USER_ERROR, "package_not_found", "No package nump."))
    with database.read() as session:
        first, _, last = session.scalars(
            select(Report).where(Report.channel == NOTIFICATION_CHANNEL).order_by(Report.id)
        ).all()
    assert (first.status, first.reason, first.message, first.attempt) == (Status.QUEUED, None, None, 0)
    assert (last.reason, last.cause, last.message, last.attempt) == (
        Reason.USER_ERROR,
        "package_not_found",
        "No package nump.",
        1,
    )
    assert (last.commit, last.created_at, last.due_at) == (COMMIT, NOW, NOW)


def test_github_gets_reports_only_for_repositories_with_a_webhook(
    database: Database, push: Push, repository: Repository
) -> None:
    with database.write() as session:
        session.execute(update(Repository).values(webhook_since=None))
    build = push()
    assert reports_of(database, GITHUB_STATUS) == []
    assert reports_of(database, NOTIFICATION_CHANNEL) == [(build, Status.QUEUED, None)]


def test_a_rolled_back_change_adds_no_report(database: Database, push: Push, repository: Repository) -> None:
    with pytest.raises(RuntimeError), database.write() as session:
        request: dict[str, str] = {"ref": "refs/heads/main", "commit": COMMIT, "recipe": RECIPE}
        enqueue.enqueue_entry(session, repository=repository, trigger=Trigger.PUSH, now=NOW, **request)  # type: ignore[arg-type]
        raise RuntimeError
    assert reports_of(database, GITHUB_STATUS) == reports_of(database, NOTIFICATION_CHANNEL) == []


def test_supersede_cancel_ref_and_cancel_add_reports(
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
    # The third is superseded too: without a time of its push, it counts as older.
    assert {row.build_id: row.reason for row in found} == {
        first: Reason.SUPERSEDED,
        second: Reason.REQUESTED,
        third: Reason.SUPERSEDED,
    }


def test_without_channels_no_report_is_written(database_url: str) -> None:
    database = Database(database_url)
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    with database.write() as session:
        repository = repositories.record(session, full_name="Org/Repo", webhook_active=True, now=NOW)
        request: dict[str, str] = {"ref": "refs/heads/main", "commit": COMMIT, "recipe": RECIPE}
        enqueue.enqueue_entry(session, repository=repository, trigger=Trigger.PUSH, now=NOW, **request)  # type: ignore[arg-type]
    end(database)
    assert statements and not [statement for statement in statements if "report" in statement]
    database.dispose()


def test_github_gets_only_the_newest_report_of_a_commit(database: Database, push: Push) -> None:
    build = push()
    end(database)
    report, lease = claimed(database)
    assert (report.build_id, report.status, report.tries) == (build, Status.SUCCEEDED, 1)
    with database.write() as session:
        assert outbox.mark_delivered(session, lease, now=NOW)
    assert claim(database) is None
    assert reports_of(database, GITHUB_STATUS) == [
        (build, Status.QUEUED, "overtaken"),
        (build, Status.SUCCEEDED, "delivered"),
    ]


def test_a_new_build_of_a_commit_overtakes_its_earlier_reports(database: Database, push: Push) -> None:
    push()
    end(database, BuildResult(Status.FAILED, Reason.TIME_LIMIT))
    rebuilt = push()
    report, _ = claimed(database)
    assert (report.build_id, report.status) == (rebuilt, Status.QUEUED)


def test_notifications_of_a_commit_are_claimed_one_at_a_time_in_order(database: Database, push: Push) -> None:
    push()
    end(database)
    for status in (Status.QUEUED, Status.RUNNING, Status.SUCCEEDED):
        report, lease = claimed(database, NOTIFICATION_CHANNEL)
        assert report.status is status
        assert claim(database, NOTIFICATION_CHANNEL) is None  # the next waits for this one
        with database.write() as session:
            assert outbox.mark_delivered(session, lease, now=NOW)
    assert claim(database, NOTIFICATION_CHANNEL) is None


def test_reports_of_other_commits_do_not_wait(database: Database, push: Push) -> None:
    push()
    push(OTHER)
    commits = {claimed(database, NOTIFICATION_CHANNEL)[0].commit for _ in range(2)}
    assert commits == {COMMIT, OTHER}


def test_a_leased_report_is_not_overtaken_and_blocks_the_next(database: Database, push: Push) -> None:
    push()
    _, lease = claimed(database)
    end(database)
    # If both were sent at the same time, the older report could arrive last and stay.
    assert claim(database) is None
    with database.write() as session:
        assert outbox.mark_delivered(session, lease, now=NOW)
    assert claimed(database)[0].status is Status.SUCCEEDED


def test_a_report_with_an_expired_lease_is_claimed_again_and_the_old_lease_is_lost(
    database: Database, push: Push
) -> None:
    push()
    _, expired = claimed(database)
    later = NOW + outbox.LEASE_LENGTH + SECOND
    report, lease = claimed(database, now=later)
    assert (report.id, report.tries) == (expired.report_id, 2)
    with database.write() as session:
        assert not outbox.mark_delivered(session, expired, now=later)
        assert not outbox.give_up(session, expired, "late", now=later)
        assert not outbox.reschedule(session, expired, "late", until=later)
        assert outbox.mark_delivered(session, lease, now=later)
        assert not outbox.mark_delivered(session, lease, now=later)


def test_a_rescheduled_report_is_not_due_before_its_time(database: Database, push: Push) -> None:
    build = push()
    _, lease = claimed(database)
    until = NOW + timedelta(minutes=5)
    with database.write() as session:
        assert outbox.reschedule(session, lease, "it cannot be reached", until=until)
    with database.read() as session:
        assert not outbox.is_due(session, GITHUB_STATUS, now=until - SECOND)
        assert outbox.is_due(session, GITHUB_STATUS, now=until)
        assert _pending(session) == {GITHUB_STATUS: 1, NOTIFICATION_CHANNEL: 1}
    assert claim(database, now=until - SECOND) is None
    report, _ = claimed(database, now=until)
    assert (report.build_id, report.error) == (build, "it cannot be reached")


def test_a_newer_report_overtakes_a_rescheduled_one(database: Database, push: Push) -> None:
    push()
    _, lease = claimed(database)
    with database.write() as session:
        outbox.reschedule(session, lease, "it cannot be reached", until=NOW + timedelta(minutes=30))
    end(database)
    assert claimed(database)[0].status is Status.SUCCEEDED


def test_a_report_that_is_given_up_is_listed_for_admins(database: Database, push: Push) -> None:
    build = push()
    _, lease = claimed(database)
    with database.write() as session:
        assert outbox.give_up(session, lease, "GitHub refuses (404)", now=NOW)
    assert claim(database) is None
    with database.read() as session:
        (problem,) = outbox.list_given_up(session)
        assert _pending(session) == {NOTIFICATION_CHANNEL: 1}
    assert (problem.build_id, problem.error) == (build, "GitHub refuses (404)")


def test_each_report_is_claimed_once_by_concurrent_builders(database: Database, push: Push) -> None:
    count = 24
    for number in range(count):
        push(f"{number:040x}")
    claimed_ids: list[int] = []

    def work() -> None:
        while (report := claim(database)) is not None:
            claimed_ids.append(report.id)
            with database.write() as session:
                outbox.mark_delivered(session, ReportLease(report.id, report.tries), now=NOW)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    # A thread that finds all due reports locked ends early, and leaves them to the others.
    work()
    assert len(claimed_ids) == len(set(claimed_ids)) == count


def test_only_old_settled_reports_are_removed(database: Database, push: Push) -> None:
    push()
    _, lease = claimed(database)
    with database.write() as session:
        outbox.mark_delivered(session, lease, now=NOW)
    push(OTHER)
    with database.write() as session:
        assert outbox.remove_settled(session, now=NOW + outbox.KEPT_FOR) == 0
        assert outbox.remove_settled(session, now=NOW + outbox.KEPT_FOR + SECOND) == 1
    # The others were not sent for a week: they are given up now, and removed a week later.
    assert {outcome for _, _, outcome in reports_of(database, GITHUB_STATUS)} == {"gave_up"}
    with database.write() as session:
        assert outbox.remove_settled(session, now=NOW + 3 * outbox.KEPT_FOR) == 3
        assert session.scalar(select(func.count()).select_from(Report)) == 0


def _pending(session: Session) -> dict[str, int]:
    """Return how many reports are not sent, by channel."""
    return dict(
        session.execute(select(Report.channel, func.count()).where(IS_DUE).group_by(Report.channel)).all()
    )
