"""The table of steps. tests/acceptance runs the demo itself."""

import pytest

from demo.run import StepTimer
from repo2hub.output.terminal import Terminal


def test_the_table_has_the_steps_that_succeeded(capsys: pytest.CaptureFixture[str]) -> None:
    timer = StepTimer(Terminal())
    with timer.step("push", "a signed delivery"):
        pass
    with timer.step("lookup", "") as step:
        step.description = "main is hello:1234567"
    with pytest.raises(RuntimeError), timer.step("run", "JupyterLab"):
        raise RuntimeError
    timer.print()
    table = capsys.readouterr().out.partition("STEP")[2].splitlines()[1:]
    assert [line.split()[0] for line in table if line] == ["push", "lookup"]
    assert "main is hello:1234567" in table[1]
