"""Notifications: signed, the same when sent again, and independent of other channels."""

import threading

import pytest

from builder.reports.dispatch import ChannelDispatcher
from db.database import Database
from tests.builder.reports.conftest import SECRET, USER_ERROR, Clock, End, Push, reports
from tests.conftest import COMMIT
from tests.support.github_api import GitHubApi
from tests.support.stand_in import Answer, StandIn
from webhook.github import signature

pytestmark = pytest.mark.slow


def test_a_notification_is_signed_and_has_its_time(
    receiver: StandIn, to_receiver: ChannelDispatcher, push: Push, end: End
) -> None:
    build = push()
    end(USER_ERROR)
    while to_receiver.dispatch_next():
        pass
    assert [asked.json()["event"] for asked in receiver.asked] == [
        "build.queued",
        "build.running",
        "build.failed",
    ]
    keys = signature.hmac_keys([SECRET])
    for asked in receiver.asked:
        assert asked.path == "/hook?key=secret"
        assert signature.is_signed(asked.body, asked.headers["X-Repo2hub-Signature-256"], keys)
        assert asked.headers["X-Repo2hub-Event"] == asked.json()["event"]
        assert "Authorization" not in asked.headers
    assert len({asked.headers["X-Repo2hub-Delivery"] for asked in receiver.asked}) == 3
    first, _, last = (asked.json() for asked in receiver.asked)
    assert last["url"] == f"https://hub.example.org/services/binder/builds/{build}"
    assert (first["build"]["status"], first["build"]["finished_at"], first["build"]["attempt"]) == (
        "queued",
        None,
        0,
    )
    build = last["build"]
    assert (build["repository"], build["commit"], build["reason"]) == ("Org/Repo", COMMIT, "user_error")
    assert build["message"] == "No package is called nump." and build["finished_at"] is not None


def test_a_notification_that_is_sent_again_is_the_same(
    receiver: StandIn, to_receiver: ChannelDispatcher, push: Push, clock: Clock
) -> None:
    push()
    receiver.trouble.append(Answer(503))
    assert to_receiver.dispatch_next()
    clock.advance(minutes=1)
    assert to_receiver.dispatch_next()
    first, second = receiver.asked
    assert first.body == second.body
    assert first.headers["X-Repo2hub-Delivery"] == second.headers["X-Repo2hub-Delivery"]


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 410])
def test_a_receiver_that_refuses_is_not_asked_again(
    receiver: StandIn, to_receiver: ChannelDispatcher, push: Push, database: Database, status: int
) -> None:
    push()
    receiver.trouble.append(Answer(status, headers={"Location": f"{receiver.url}/elsewhere"}))
    assert to_receiver.dispatch_next()
    assert not to_receiver.dispatch_next()
    assert len(receiver.asked) == 1
    (report,) = reports(database, "notify:")
    assert report.outcome == "gave_up" and report.error is not None and str(status) in report.error
    assert "secret" not in report.error and "secret" not in report.channel


def test_one_that_hangs_holds_up_nobody_else(
    *,
    github: GitHubApi,
    receiver: StandIn,
    channels: dict[str, ChannelDispatcher],
    push: Push,
    end: End,
    database: Database,
    clock: Clock,
) -> None:
    receiver.always = Answer(hangs=True)
    stop = threading.Event()
    threads = [
        threading.Thread(target=channel.drain, args=(stop,), daemon=True) for channel in channels.values()
    ]
    push()
    for thread in threads:
        thread.start()
    seen = threading.Event()
    for _ in range(600):
        if receiver.asked and github.statuses["Org/Repo", COMMIT]:
            break
        seen.wait(0.05)
    end()  # a build ends while the receiver still hangs
    for _ in range(600):
        if len(github.of("Org/Repo", COMMIT)) == 2:
            break
        seen.wait(0.05)
    stop.set()
    assert [state for state, _ in github.of("Org/Repo", COMMIT)] == ["pending", "success"]
    assert len(receiver.asked) == 1
    receiver.let_go()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
