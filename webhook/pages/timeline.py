"""The phases of a build on a timeline, next to those of the last successful build. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from db.models import Build
from webhook.builds.build_json import durations

WIDTH = 1000
"""Width of the drawing in its own units; the template sets the height."""
_MIN_WIDTH = 4.0  # keeps very short phases visible
_NAMES = ("waiting", "fetching", "building", "pushing")


@dataclass(frozen=True, slots=True)
class Span:
    """One phase: its seconds, those of the last successful build, and its place in the drawing."""

    name: str
    seconds: float | None
    before: float | None
    x: float = 0.0
    width: float = 0.0
    since: datetime | None = None
    """Start of the current phase; None for finished phases."""

    @property
    def change(self) -> float | None:
        """Seconds more than the last successful build took; None if they cannot be compared."""
        if self.seconds is None or self.before is None or self.since is not None:
            return None
        return self.seconds - self.before


def timeline(build: Build, good: Build | None, now: datetime) -> list[Span]:
    """Return the phases of the build or the last successful one, in order."""
    current = durations(build, now)
    previous = {} if good is None else durations(good, now)
    shown = [name for name in _NAMES if name in current or (name in previous and name != "waiting")]
    total = sum(current.get(name, 0.0) for name in shown) or 1.0
    scale = (WIDTH - _MIN_WIDTH * len(shown)) / total
    spans, x = [], 0.0
    last = next((name for name in reversed(_NAMES) if name in current), None)
    for name in shown:
        width = current[name] * scale + _MIN_WIDTH if name in current else 0.0
        since = None
        if name == last and build.finished_at is None and name in current:
            since = now - timedelta(seconds=current[name])
        spans.append(Span(name, current.get(name), previous.get(name), round(x, 1), round(width, 1), since))
        x += width
    return spans
