"""The command line of the benchmarks: every measurement has a name, and an unknown name is refused."""

import sys
from pathlib import Path

import pytest

from bench.__main__ import BENCHMARKS, main

pytestmark = pytest.mark.slow

MEASUREMENTS = Path(__file__).parent.parent.parent / "bench" / "measurements"


def test_every_measurement_can_be_run_by_its_name() -> None:
    assert {f"{name}.py" for name in BENCHMARKS} == {path.name for path in MEASUREMENTS.glob("[a-z]*.py")}


def test_an_unknown_name_is_refused_with_the_list_of_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "nosuch"])
    with pytest.raises(SystemExit):
        main()
    assert "unknown benchmark: nosuch" in capsys.readouterr().err
