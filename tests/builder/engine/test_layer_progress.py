"""The engine's events about layers as lines for a log."""

from typing import Any

import pytest

from builder.engine.layer_progress import LayerProgress


def event(layer: str, status: str, done: int = 0, size: int = 0) -> dict[str, Any]:
    detail = {"current": done * 10**6, "total": size * 10**6} if size else {}
    return {"id": layer, "status": status, "progressDetail": detail}


@pytest.mark.parametrize(("status", "verb"), [("Pushing", "pushing"), ("Downloading", "pulling")])
def test_layers_in_progress_are_summed_up_from_time_to_time(status: str, verb: str) -> None:
    progress = LayerProgress()
    assert progress.add(event("a", status, 1, 4), now=100) == f"{verb} 1.0 of 4.0 MB"
    assert progress.add(event("b", status, 2, 6), now=101) is None, "too soon"
    assert progress.add(event("a", status, 2, 4), now=102) == f"{verb} 4.0 of 10.0 MB"


@pytest.mark.parametrize(
    "status", ["Pushed", "Mounted from org/other", "Download complete", "Already exists"]
)
def test_a_finished_layer_has_a_line_and_counts_in_full(status: str) -> None:
    progress = LayerProgress()
    progress.add(event("a", "Downloading", 1, 4), now=100)
    assert progress.add(event("a", status), now=100) == f"a: {status}"
    assert progress.add(event("b", "Downloading", 1, 6), now=200) == "pulling 5.0 of 10.0 MB"


def test_an_event_without_a_size_has_no_line() -> None:
    progress = LayerProgress()
    for said in (
        {"status": "Digest: sha256:1"},
        event("1.0", "Pulling from org/base"),
        event("a", "Waiting"),
    ):
        assert progress.add(said, now=100) is None
