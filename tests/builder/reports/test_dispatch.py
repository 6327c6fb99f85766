"""Commit statuses on GitHub over real sockets: their content, and what happens if GitHub rejects them or hangs."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from base.report_channels import GITHUB_STATUS
from builder.reports import http_client
from builder.reports.channels import notifiers
from builder.reports.dispatch import ChannelDispatcher
from builder.settings import BuilderSettings
from db.database import Database
from db.models import Build, Repository
from db.queue import enqueue, outbox, transitions
from db.queue.transitions import BuildResult
from db.records import images, refs, repositories
from db.report_model import Report
from db.status import EnqueueOutcome, Lease, Reason, Status, Trigger
from tests.builder.reports.conftest import USER_ERROR, Clock, End, Push, reports
from tests.conftest import COMMIT, RECIPE
from tests.support.github_api import TOKEN, GitHubApi
from tests.support.stand_in import Answer, StandIn

pytestmark = pytest.mark.slow

LIMITED = Answer(403, {"message": "You have exceeded a secondary rate limit."}, {"Retry-After": "120"})


def outcome(database: Database) -> tuple[str | None, str | None]:
    """What became of the last report to GitHub, and why."""
    last = reports(database)[-1]
    return last.outcome, last.error


def test_a_commit_gets_the_statuses_of_its_build(
    github: GitHubApi, to_github: ChannelDispatcher, push: Push, end: End
) -> None:
    build = push()
    assert to_github.dispatch_next()
    end()
    assert to_github.dispatch_next()
    assert not to_github.dispatch_next()
    assert github.of("Org/Repo", COMMIT) == [
        ("pending", "Building the image."),
        ("success", "Image ready after 1 min 12 s."),
    ]
    (newest, _) = github.statuses["Org/Repo", COMMIT]
    assert newest["context"] == "repo2hub"
    assert newest["target_url"] == f"https://hub.example.org/services/binder/builds/{build}"
    assert github.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (USER_ERROR, ("failure", "No package is called nump.")),
        (BuildResult(Status.FAILED, Reason.TIME_LIMIT), ("failure", "The build failed.")),
        (BuildResult(Status.FAILED, Reason.LOST, "lost", "Ask an admin."), ("error", "Ask an admin.")),
        (
            BuildResult(Status.CANCELLED, Reason.REQUESTED),
            ("pending", "Not built: the build was cancelled."),
        ),
        (
            BuildResult(Status.FAILED, Reason.USER_ERROR, "x", "a\x1b[31m\n<b>b</b> " + "ß" * 200),
            ("failure", "a <b>b</b> " + "ß" * 128 + "…"),
        ),
    ],
)
def test_each_end_has_its_state(
    *,
    github: GitHubApi,
    to_github: ChannelDispatcher,
    push: Push,
    end: End,
    result: BuildResult,
    status: tuple[str, str],
) -> None:
    push()
    end(result)
    assert to_github.dispatch_next()
    (told,) = github.of("Org/Repo", COMMIT)
    assert told == status and len(told[1]) <= 140


def test_a_failed_attempt_is_reported_as_a_retry(
    github: GitHubApi, to_github: ChannelDispatcher, push: Push, database: Database, clock: Clock
) -> None:
    push()
    with database.write() as session:
        build = transitions.claim(session, worker="w", now=clock.now)
        assert build is not None
        lease = Lease(build.id, build.attempt)
        transitions.retry(session, lease, cause="registry", message="The registry is away.", now=clock.now)
    assert to_github.dispatch_next()
    assert github.of("Org/Repo", COMMIT) == [("pending", "Retrying: The registry is away.")]


def test_a_limit_delays_everything_and_loses_nothing(
    github: GitHubApi, to_github: ChannelDispatcher, push: Push, clock: Clock, database: Database
) -> None:
    push()
    push("f" * 40)
    github.trouble.append(LIMITED)
    assert to_github.dispatch_next()
    assert not to_github.dispatch_next()  # the other commit is not even tried
    assert len(github.asked) == 1
    clock.advance(seconds=119)
    assert not to_github.dispatch_next()
    clock.advance(seconds=2)
    while to_github.dispatch_next():
        pass
    assert len(github.of("Org/Repo", COMMIT)) == len(github.of("Org/Repo", "f" * 40)) == 1
    assert outcome(database) == ("delivered", None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "{now+900}"}, 900),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "nonsense"}, 60),
        ({"Retry-After": "999999"}, 7200),
        ({"Retry-After": "0"}, outbox.RETRY_DELAYS[0].total_seconds()),
    ],
)
def test_github_says_how_long_to_wait(
    *,
    github: GitHubApi,
    to_github: ChannelDispatcher,
    push: Push,
    clock: Clock,
    database: Database,
    headers: dict[str, str],
    seconds: int,
) -> None:
    push()
    reset = str(int(clock.now.timestamp()) + 900)
    given = {name: value.replace("{now+900}", reset) for name, value in headers.items()}
    github.trouble.append(Answer(429, {"message": "API rate limit exceeded"}, given))
    assert to_github.dispatch_next()
    (report,) = reports(database)
    assert report.due_at is not None and report.outcome is None
    assert abs((report.due_at - clock.now).total_seconds() - seconds) < 2


@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_outage_blocks_the_channel_instead_of_failing_each_report(
    *,
    github: GitHubApi,
    to_github: ChannelDispatcher,
    push: Push,
    clock: Clock,
    database: Database,
    status: int,
) -> None:
    for number in range(5):
        push(f"{number:040x}")
    github.always = Answer(status, {"message": "Unicorn!"})
    for _ in range(20):
        to_github.dispatch_next()
    assert len(github.asked) == 1
    clock.advance(minutes=30)
    for _ in range(20):
        to_github.dispatch_next()
    assert len(github.asked) == 2
    github.always = None
    for _ in range(20):
        clock.advance(minutes=10)
        while to_github.dispatch_next():
            pass
    assert [report.outcome for report in reports(database)] == ["delivered"] * 5


def test_a_host_that_is_not_there_is_an_outage(
    settings: BuilderSettings, database: Database, push: Push, clock: Clock
) -> None:
    with StandIn() as gone:
        nowhere = gone.url
    changed = settings.model_copy(update={"github_api_url": nowhere})
    channel = ChannelDispatcher(GITHUB_STATUS, notifiers(changed, clock)[GITHUB_STATUS], database, clock)
    push()
    assert channel.dispatch_next()
    assert outcome(database) == (None, "cannot connect to the receiver")


@pytest.mark.parametrize("has_arrived", [True, False])
def test_a_request_times_out_and_is_not_delivered_twice(
    *,
    github: GitHubApi,
    to_github: ChannelDispatcher,
    push: Push,
    clock: Clock,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    has_arrived: bool,
) -> None:
    monkeypatch.setattr(http_client, "TIMEOUT", (5.0, 0.5))
    push()
    github.trouble.append(Answer(hangs=True, after_doing=has_arrived))
    assert to_github.dispatch_next()
    assert outcome(database) == (None, "the receiver did not answer in time")
    clock.advance(minutes=1)
    assert to_github.dispatch_next()
    assert github.of("Org/Repo", COMMIT) == [("pending", "Building the image.")]
    assert outcome(database) == ("delivered", None)


def test_a_builder_that_dies_after_delivering_a_report_does_not_deliver_it_twice(
    github: GitHubApi, to_github: ChannelDispatcher, push: Push, clock: Clock, database: Database
) -> None:
    push()
    assert to_github.dispatch_next()
    with database.write() as session:  # as if it had died before its last statement
        lease = {
            "lease_expires_at": clock.now + outbox.LEASE_LENGTH,
            "due_at": clock.now + outbox.LEASE_LENGTH,
        }
        untold = {"outcome": None, "settled_at": None, **lease}
        session.execute(update(Report).where(Report.channel == GITHUB_STATUS).values(untold))
    clock.advance(seconds=outbox.LEASE_LENGTH.total_seconds() + 1)
    assert to_github.dispatch_next()
    assert len(github.of("Org/Repo", COMMIT)) == 1
    assert outcome(database) == ("delivered", None)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(401, {"message": "Bad credentials"}), "rejected the token"),
        (Answer(403, {"message": "Resource not accessible"}), "write access to commit statuses"),
        (Answer(404, {"message": "Not Found"}), "has no access to this repository"),
        (Answer(422, {"message": "No commit found for SHA"}), "No commit found for SHA"),
        (Answer(422, ["not", "an", "object"]), "no reason given"),
    ],
)
def test_a_report_that_only_an_admin_can_fix_is_given_up_with_its_reason(
    *,
    github: GitHubApi,
    to_github: ChannelDispatcher,
    push: Push,
    database: Database,
    answer: Answer,
    words: str,
) -> None:
    push()
    github.trouble.append(answer)
    assert to_github.dispatch_next()
    assert not to_github.dispatch_next()
    (report,) = reports(database)
    assert report.outcome == "gave_up" and report.error is not None
    assert words in report.error and TOKEN not in report.error
    push("f" * 40)  # and the next is delivered as usual
    assert to_github.dispatch_next()
    assert outcome(database) == ("delivered", None)


def test_it_is_not_tried_for_longer_than_a_day(
    github: GitHubApi, to_github: ChannelDispatcher, push: Push, clock: Clock, database: Database
) -> None:
    push()
    github.always = Answer(503, {"message": "Unicorn!"})
    tries = 0
    while outcome(database)[0] is None:
        tries += to_github.dispatch_next()
        clock.advance(minutes=10)
        assert tries < 100
    assert outcome(database) == ("gave_up", "failed for a day: GitHub answered 503: Unicorn!")
    age = clock.now - reports(database)[0].created_at
    assert timedelta(days=1) < age < timedelta(days=1, hours=1)


def test_the_renamed_are_waited_for(
    github: GitHubApi, to_github: ChannelDispatcher, push: Push, clock: Clock, database: Database
) -> None:
    push()
    github.trouble.append(Answer(307, {"message": "Moved"}, {"Location": f"{github.url}/repositories/1"}))
    assert to_github.dispatch_next()
    assert len(github.asked) == 1  # the token goes nowhere else
    with database.write() as session:
        repositories.record(session, full_name="Org/New", provider_id=1, now=clock.now)
    clock.advance(minutes=1)
    assert to_github.dispatch_next()
    assert len(github.of("Org/New", COMMIT)) == 1


def test_a_netrc_s_password_is_not_sent(
    github: GitHubApi,
    to_github: ChannelDispatcher,
    push: Push,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    push()
    assert to_github.dispatch_next()
    assert github.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"


def found(database: Database, repository: Repository, now: datetime, **fields: Any) -> None:
    """Ask for the image of COMMIT, which is there."""
    asked = {
        "ref": "refs/heads/new",
        "commit": COMMIT,
        "recipe": RECIPE,
        "trigger": Trigger.PUSH,
        **fields,
    }
    with database.write() as session:
        placed = enqueue.enqueue_entry(session, repository=repository, now=now, **asked)
    assert placed.outcome is EnqueueOutcome.EXISTS


@pytest.fixture
def image(database: Database, repository: Repository, push: Push, end: End, clock: Clock) -> int:
    """A build that made the image of COMMIT and was not reported; returns the build."""
    build_id = push()
    end()
    with database.write() as session:
        build = session.get_one(Build, build_id)
        images.record(session, build=build, recipe=RECIPE, name="x", digest="sha256:0", size=1, now=clock.now)
        session.execute(delete(Report))
    return build_id


def test_a_push_that_finds_its_image_is_reported_on_its_commit(
    *,
    github: GitHubApi,
    to_github: ChannelDispatcher,
    database: Database,
    repository: Repository,
    clock: Clock,
    image: int,
) -> None:
    found(database, repository, clock.now)
    assert to_github.dispatch_next()
    assert github.of("Org/Repo", COMMIT) == [("success", "Image ready after 1 min 12 s.")]
    assert github.statuses["Org/Repo", COMMIT][0]["target_url"].endswith(f"/builds/{image}")
    assert not to_github.dispatch_next()
    assert reports(database, "notify:") == []  # nothing has happened to the build


@pytest.mark.parametrize("others", [0, 40])
def test_a_status_that_is_already_set_is_not_set_again(
    *,
    github: GitHubApi,
    to_github: ChannelDispatcher,
    database: Database,
    repository: Repository,
    clock: Clock,
    image: int,
    others: int,
) -> None:
    found(database, repository, clock.now)
    assert to_github.dispatch_next()
    for number in range(others):  # other services' statuses are newer
        status = {"state": "pending", "description": "…", "context": f"ci/{number}"}
        github.statuses["Org/Repo", COMMIT].insert(0, status)
    for _ in range(3):
        found(database, repository, clock.now)
    assert to_github.dispatch_next()
    assert not to_github.dispatch_next()  # one of the three was delivered, the rest are the same
    assert len(github.statuses["Org/Repo", COMMIT]) == 1 + others
    assert outcome(database) == ("delivered", None)


def test_a_commit_with_another_newest_status_gets_the_status_again(
    *,
    github: GitHubApi,
    to_github: ChannelDispatcher,
    push: Push,
    end: End,
    database: Database,
    repository: Repository,
    clock: Clock,
    image: int,
) -> None:
    push()
    end(USER_ERROR)  # rebuilt, and failed: the earlier image still exists
    assert to_github.dispatch_next()
    found(database, repository, clock.now)
    assert to_github.dispatch_next()
    assert [state for state, _ in github.of("Org/Repo", COMMIT)] == ["failure", "success"]


def test_a_request_for_an_existing_image_is_not_reported_to_github(
    *, to_github: ChannelDispatcher, database: Database, repository: Repository, clock: Clock, image: int
) -> None:
    found(database, repository, clock.now, trigger=Trigger.LAUNCH)
    assert not to_github.dispatch_next()


def test_an_existing_image_is_not_reported_where_no_pushes_arrive(
    *, to_github: ChannelDispatcher, database: Database, repository: Repository, clock: Clock, image: int
) -> None:
    with database.write() as session:
        refs.clear_webhook_since(session, session.merge(repository))
    found(database, repository, clock.now)
    assert not to_github.dispatch_next()
