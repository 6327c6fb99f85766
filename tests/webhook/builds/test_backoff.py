"""When a build that failed is started again by merely asking."""

from datetime import timedelta

import pytest

from db.status import Reason
from tests.conftest import NOW
from webhook.builds.backoff import rebuild_allowed_at


@pytest.mark.parametrize(
    ("failures", "minutes"), [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (10_000, 60)]
)
def test_each_failure_doubles_the_wait_up_to_an_hour(failures: int, minutes: int) -> None:
    assert rebuild_allowed_at(NOW, Reason.USER_ERROR, failures) == NOW + timedelta(minutes=minutes)


@pytest.mark.parametrize("reason", [Reason.SUPERSEDED, Reason.REF_DELETED, Reason.REPOSITORY_GONE])
def test_superseded_builds_are_rebuilt_at_once(reason: Reason) -> None:
    assert rebuild_allowed_at(NOW, reason, 3) == NOW
