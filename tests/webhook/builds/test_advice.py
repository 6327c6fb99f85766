"""How to fix failed builds."""

import re

from builder.logs.known_failures import RULES
from db.status import Reason, Status
from tests.conftest import ROOT
from tests.webhook.sample_builds import build
from webhook.builds.advice import ADVICE, FixedBy, advice


def causes_of_builders() -> set[str]:
    """Return every cause that the code of builder/ contains."""
    found = {rule.cause for rule in RULES}
    for path in (ROOT / "builder").rglob("*.py"):
        found |= set(re.findall(r'(?:User|Infrastructure)Error\(\s*"([a-z_]+)"', path.read_text()))
    return found | {"lost", "internal_error"}


def test_every_cause_of_builders_has_advice() -> None:
    assert causes_of_builders() - ADVICE.keys() == set()


def test_an_unknown_cause_gets_the_advice_of_its_reason() -> None:
    for reason in (
        Reason.USER_ERROR,
        Reason.TIME_LIMIT,
        Reason.MEMORY_LIMIT,
        Reason.INFRASTRUCTURE,
        Reason.LOST,
    ):
        assert advice(build(Status.FAILED, reason=reason, cause="unknown_cause")) is not None
    assert advice(build(Status.SUCCEEDED)) is None
    assert advice(build(Status.CANCELLED, reason=Reason.SUPERSEDED)) is None
    retried = advice(build(Status.QUEUED, cause="no_space"))
    assert retried is not None and retried.who is FixedBy.NOBODY
