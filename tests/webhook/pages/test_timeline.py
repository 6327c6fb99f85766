"""The layout of a build's phases on a timeline."""

from datetime import timedelta
from itertools import pairwise

import pytest

from db.status import Status
from tests.conftest import NOW
from tests.webhook.sample_builds import build, phases
from webhook.pages.timeline import WIDTH, timeline


def test_a_timeline_has_the_phases_in_order_and_fills_its_width() -> None:
    spans = timeline(phases(fetching=4, building=90, pushing=6), phases(fetching=5, building=60), NOW)
    assert [(span.name, span.seconds, span.before) for span in spans] == [
        ("waiting", 0, 0),
        ("fetching", 4, 5),
        ("building", 90, 60),
        ("pushing", 6, None),
    ]
    assert [span.change for span in spans] == [0, -1, 30, None]
    assert sum(span.width for span in spans) == pytest.approx(WIDTH, abs=1)
    assert all(a.x + a.width == pytest.approx(b.x, abs=0.2) for a, b in pairwise(spans))


def test_the_current_phase_has_a_start_and_no_change() -> None:
    running = build(Status.RUNNING, started_at=NOW, fetching_at=NOW, building_at=NOW + timedelta(seconds=5))
    spans = timeline(running, phases(fetching=5, building=60), NOW + timedelta(seconds=35))
    assert spans[-1].since == NOW + timedelta(seconds=5) and spans[-1].change is None
    assert [span.since for span in spans[:-1]] == [None, None]
