"""What people read of a build: durations, sizes, moments, advice."""

import re
from datetime import timedelta
from itertools import pairwise

import pytest

from builder.logs.known_failures import RULES
from db.models import Build
from db.status import Phase, Reason, Status, Trigger
from tests.conftest import NOW, ROOT
from webhook.access.permissions import API_USER_NAME
from webhook.builds.advice import ADVICE, FixedBy, advice
from webhook.pages import filters
from webhook.pages.chart import chart
from webhook.pages.overview import percentile
from webhook.pages.timeline import WIDTH, timeline


def build(status: Status = Status.SUCCEEDED, **values: object) -> Build:
    made = {"id": 7, "status": status, "trigger": Trigger.PUSH, "attempt": 1, "created_at": NOW, **values}
    return Build(**made)


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        ("package_not_found", "Package not found"),
        ("environment_yml_invalid", "environment.yml invalid"),
        ("postbuild_failed", "postBuild failed"),
        ("github_unreachable", "GitHub unreachable"),
    ],
)
def test_a_cause_is_a_heading_with_names_as_they_are_written(cause: str, text: str) -> None:
    assert filters.cause_heading(cause) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (4.26, "4.3 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (133, "2 min 13 s"),
        (3599.6, "1 h 0 min"),
        (3900, "1 h 5 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_are_told_in_two_units_at_most(seconds: float, text: str) -> None:
    assert filters.format_duration(seconds) == filters.format_duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1412, "1.4 kB"), (2_340_000, "2.3 MB"), (999_600_000, "1.0 GB")],
)
def test_sizes_are_told_as_engines_tell_them(count: int, text: str) -> None:
    assert filters.format_size(count) == text


@pytest.mark.parametrize(
    ("shown", "kind", "word"),
    [
        (build(Status.QUEUED, attempt=0), "queued", "Queued"),
        (build(Status.QUEUED), "queued", "Retrying"),
        (build(Status.RUNNING), "running", "Starting"),
        (build(Status.RUNNING, phase=Phase.PUSHING), "running", "Pushing"),
        (build(Status.RUNNING, phase=Phase.PUSHING, cancel_requested_at=NOW), "running", "Cancelling"),
        (build(Status.SUCCEEDED), "ready", "Ready"),
        (build(Status.FAILED, reason=Reason.LOST), "failed", "Failed"),
        (build(Status.CANCELLED, reason=Reason.SUPERSEDED), "cancelled", "Superseded"),
        (build(Status.CANCELLED, reason=Reason.REQUESTED), "cancelled", "Cancelled"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_state_is_a_word_and_never_a_failure_where_nobody_failed(
    shown: Build, kind: str, word: str
) -> None:
    assert filters.state(shown) == (kind, word)
    assert filters.describe_status(shown).endswith((".", "now."))


def causes_of_builders() -> set[str]:
    """The causes that are written anywhere in builder/."""
    found = {rule.cause for rule in RULES}
    for path in (ROOT / "builder").rglob("*.py"):
        found |= set(re.findall(r'(?:User|Infrastructure)Error\(\s*"([a-z_]+)"', path.read_text()))
    return found | {"lost", "internal_error"}


def test_every_cause_that_builders_write_has_its_advice() -> None:
    assert causes_of_builders() - ADVICE.keys() == set()


def test_there_is_advice_for_what_a_newer_builder_may_write_and_none_where_nothing_is_wrong() -> None:
    for reason in (
        Reason.USER_ERROR,
        Reason.TIME_LIMIT,
        Reason.MEMORY_LIMIT,
        Reason.INFRASTRUCTURE,
        Reason.LOST,
    ):
        assert advice(build(Status.FAILED, reason=reason, cause="never_heard_of")) is not None
    assert advice(build(Status.SUCCEEDED)) is None
    assert advice(build(Status.CANCELLED, reason=Reason.SUPERSEDED)) is None
    again = advice(build(Status.QUEUED, cause="no_space"))
    assert again is not None and again.who is FixedBy.NOBODY


def phases(**seconds: float) -> Build:
    """A build of which each phase took so long."""
    at, moments = NOW, {}
    for name, took in seconds.items():
        moments["started_at" if name == "fetching" else f"{name}_at"] = at
        moments[f"{name}_at"] = at
        at += timedelta(seconds=took)
    return build(finished_at=at, **moments)


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


def test_the_phase_under_way_ticks_and_is_not_compared() -> None:
    running = build(Status.RUNNING, started_at=NOW, fetching_at=NOW, building_at=NOW + timedelta(seconds=5))
    spans = timeline(running, phases(fetching=5, building=60), NOW + timedelta(seconds=35))
    assert spans[-1].since == NOW + timedelta(seconds=5) and spans[-1].change is None
    assert [span.since for span in spans[:-1]] == [None, None]


def test_a_chart_stands_oldest_first_within_its_frame() -> None:
    drawn = chart(
        [phases(fetching=100), phases(fetching=50), build(Status.CANCELLED, reason=Reason.REQUESTED)]
    )
    assert drawn is not None
    assert [bar.height for bar in drawn.bars] == [48, 96] and drawn.bars[0].x < drawn.bars[1].x
    assert "Last 2 builds" in drawn.sentence and ", 0 failed" in drawn.sentence
    assert chart([phases(fetching=1)]) is None


def test_percentiles_are_values_that_occurred() -> None:
    assert percentile([], 95) is None
    assert [percentile([1, 2, 3, 4], of) for of in (25, 50, 95)] == [1, 2, 4]


def test_no_page_and_no_file_of_a_page_refers_to_another_host() -> None:
    """The Content-Security-Policy forbids it to browsers; here it is told to who writes it."""
    for folder in ("templates", "static"):
        for path in (ROOT / "webhook" / "pages" / folder).iterdir():
            text = path.read_text().replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", text), path
            assert "style=" not in text and not re.search(r"\son[a-z]+=", text), path


@pytest.mark.parametrize(
    ("by", "told"),
    [
        ("ada", "Cancelled by ada."),
        (None, "Cancelled."),
        (API_USER_NAME, "Cancelled by a client with an API token."),
    ],
)
def test_who_cancelled_is_told_by_name_where_there_is_one(by: str | None, told: str) -> None:
    cancelled = build(Status.CANCELLED, reason=Reason.REQUESTED, cancelled_by=by)
    assert filters.describe_status(cancelled).startswith(told)
