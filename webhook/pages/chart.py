"""The durations of a repository's builds as a bar chart. Pure; the template draws it."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from db.models import Build
from db.queries.durations import attempt_duration
from webhook.pages.filters import format_duration, state

HEIGHT = 96
STEP = 16
"""Units from one bar to the next."""
_MIN_HEIGHT = 3.0
_MIN_BARS = 20  # keeps the bars of few builds narrow


class Bar(NamedTuple):
    """The bar of one build, and its tooltip."""

    x: int
    y: float
    height: float
    kind: str
    title: str


class Chart(NamedTuple):
    """The bars, oldest first, and a summary."""

    bars: list[Bar]
    width: int
    longest: str
    sentence: str


def chart(builds: Sequence[Build]) -> Chart | None:
    """Return the chart of the builds that have a duration; None if there are fewer than two."""
    timed = [(build, took.total_seconds()) for build in reversed(builds) if (took := attempt_duration(build))]
    if len(timed) < 2:
        return None
    longest = max(seconds for _, seconds in timed) or 1.0
    bars = [_bar(place, build, seconds, longest) for place, (build, seconds) in enumerate(timed)]
    failed = sum(bar.kind == "failed" for bar in bars)
    median = statistics.median(seconds for _, seconds in timed)
    sentence = (
        f"Last {len(bars)} builds: median {format_duration(median)}, longest {format_duration(longest)}, "
        f"{failed} failed."
    )
    return Chart(bars, max(len(bars), _MIN_BARS) * STEP, format_duration(longest), sentence)


def _bar(place: int, build: Build, seconds: float, longest: float) -> Bar:
    height = round(max(_MIN_HEIGHT, seconds / longest * HEIGHT), 1)
    shown = state(build)
    title = f"#{build.id}: {shown.word}, {format_duration(seconds)}"
    return Bar(place * STEP, round(HEIGHT - height, 1), height, shown.kind, title)
