"""The layout of the bar chart of durations."""

from db.status import Reason, Status
from tests.webhook.sample_builds import build, phases
from webhook.pages.chart import chart


def test_bars_are_oldest_first_and_fit_the_height() -> None:
    drawn = chart(
        [phases(fetching=100), phases(fetching=50), build(Status.CANCELLED, reason=Reason.REQUESTED)]
    )
    assert drawn is not None
    assert [bar.height for bar in drawn.bars] == [48, 96] and drawn.bars[0].x < drawn.bars[1].x
    assert "Last 2 builds" in drawn.sentence and ", 0 failed" in drawn.sentence
    assert chart([phases(fetching=1)]) is None
