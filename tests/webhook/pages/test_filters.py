"""Builds as text: states, durations, sizes, causes."""

from datetime import timedelta

import pytest

from db.models import Build
from db.status import Phase, Reason, Status
from tests.conftest import NOW
from tests.webhook.sample_builds import build
from webhook.access.permissions import API_USER_NAME
from webhook.pages import filters


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        ("package_not_found", "Package not found"),
        ("environment_yml_invalid", "environment.yml invalid"),
        ("postbuild_failed", "postBuild failed"),
        ("github_unreachable", "GitHub unreachable"),
    ],
)
def test_a_cause_heading_spells_names_correctly(cause: str, text: str) -> None:
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
def test_a_duration_has_at_most_two_units(seconds: float, text: str) -> None:
    assert filters.format_duration(seconds) == filters.format_duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1412, "1.4 kB"), (2_340_000, "2.3 MB"), (999_600_000, "1.0 GB")],
)
def test_a_size_is_in_powers_of_ten(count: int, text: str) -> None:
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
def test_a_state_has_an_icon_and_a_word(shown: Build, kind: str, word: str) -> None:
    assert filters.state(shown) == (kind, word)
    assert filters.describe_status(shown).endswith((".", "now."))


@pytest.mark.parametrize(
    ("by", "sentence"),
    [
        ("ada", "Cancelled by ada."),
        (None, "Cancelled."),
        (API_USER_NAME, "Cancelled by a client with an API token."),
    ],
)
def test_a_cancelled_build_names_who_cancelled_it(by: str | None, sentence: str) -> None:
    cancelled = build(Status.CANCELLED, reason=Reason.REQUESTED, cancelled_by=by)
    assert filters.describe_status(cancelled).startswith(sentence)
