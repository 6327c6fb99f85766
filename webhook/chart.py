"""How long a repository's builds took, as bars. Pure: the template draws what comes out of here."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from db.lasted import work
from db.models import Build
from webhook.words import lasting, state

HEIGHT = 96
STEP = 16
"""Units from one bar to the next."""
_LEAST = 3.0
_PLACES = 20  # so that two builds are not two walls


class Bar(NamedTuple):
    """One build: where its bar stands and what is said when it is pointed at."""

    x: int
    y: float
    height: float
    kind: str
    title: str


class Chart(NamedTuple):
    """The bars, oldest first, and the whole in a sentence."""

    bars: list[Bar]
    width: int
    longest: str
    sentence: str


def chart(newest_first: Sequence[Build]) -> Chart | None:
    """Return the chart of the builds that took any time; None where there are fewer than two."""
    timed = [(build, took.total_seconds()) for build in reversed(newest_first) if (took := work(build))]
    if len(timed) < 2:
        return None
    longest = max(seconds for _, seconds in timed) or 1.0
    bars = [_bar(place, build, seconds, longest) for place, (build, seconds) in enumerate(timed)]
    failed = sum(bar.kind == "failed" for bar in bars)
    median = statistics.median(seconds for _, seconds in timed)
    sentence = (
        f"The last {len(bars)} builds took {lasting(median)} at the median and {lasting(longest)} at most; "
        f"{failed or 'none'} failed."
    )
    return Chart(bars, max(len(bars), _PLACES) * STEP, lasting(longest), sentence)


def _bar(place: int, build: Build, seconds: float, longest: float) -> Bar:
    height = round(max(_LEAST, seconds / longest * HEIGHT), 1)
    shown = state(build)
    title = f"#{build.id}: {shown.word}, {lasting(seconds)}"
    return Bar(place * STEP, round(HEIGHT - height, 1), height, shown.kind, title)
