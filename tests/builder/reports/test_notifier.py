"""The contract of `builder.reports.notifier.Notifier`, held against every implementation over real sockets."""

from dataclasses import dataclass

import pytest

from base.report_channels import GITHUB_STATUS
from builder.reports.channels import notifiers
from builder.reports.notifier import Notifier, PermanentNotifyError, TransientNotifyError
from builder.settings import BuilderSettings
from db.database import Database
from db.models import Build
from db.records import builds
from db.report_model import Report
from tests.builder.reports.conftest import SECRET, Clock, Push, reports
from tests.support.github_api import TOKEN
from tests.support.stand_in import Answer, StandIn


@dataclass
class Sent:
    """A notifier, the server that it talks to, and a report of a build to deliver."""

    notifier: Notifier
    server: StandIn
    report: Report
    build: Build

    def notify(self) -> None:
        self.notifier.notify(self.report, self.build)


@pytest.fixture(params=["github", "url"])
def sent(
    request: pytest.FixtureRequest, settings: BuilderSettings, database: Database, clock: Clock, push: Push
) -> Sent:
    build_id = push()
    by_channel = notifiers(settings, clock)
    channel = next(name for name in by_channel if (name == GITHUB_STATUS) == (request.param == "github"))
    server: StandIn = request.getfixturevalue("github" if request.param == "github" else "receiver")
    (report,) = reports(database, channel)
    with database.read() as session:
        build = builds.get(session, build_id)
    assert build is not None
    return Sent(by_channel[channel], server, report, build)


def test_a_report_is_delivered_by_one_request_that_changes_something(sent: Sent) -> None:
    sent.notify()
    assert [asked.method for asked in sent.server.asked].count("POST") == 1


def test_a_report_can_be_delivered_again(sent: Sent) -> None:
    sent.notify()
    sent.report.tries = 2
    sent.notify()
    assert len(sent.server.asked) == 2


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_an_outage_or_a_limit_is_transient_and_blocks_a_scope(sent: Sent, status: int) -> None:
    sent.server.always = Answer(status, {"message": "no"}, {"Retry-After": "7"})
    with pytest.raises(TransientNotifyError) as raised:
        sent.notify()
    assert raised.value.wait == 7
    assert raised.value.blocks_scope in ("", sent.notifier.scope(sent.build))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_rejection_is_permanent(sent: Sent, status: int) -> None:
    sent.server.always = Answer(status, {"message": "no"})
    with pytest.raises(PermanentNotifyError):
        sent.notify()


def test_an_error_names_neither_url_nor_secret(sent: Sent) -> None:
    for status in (302, 400, 401, 404, 429, 503):
        sent.server.always = Answer(status, {"message": "no"}, {"Location": "/elsewhere"})
        with pytest.raises((PermanentNotifyError, TransientNotifyError)) as raised:
            sent.notify()
        text = str(raised.value)
        assert text and "\n" not in text
        assert not [secret for secret in (TOKEN, SECRET, sent.server.url, "key=secret") if secret in text]
