"""What the tests of the command line share."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def data_folder(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("REPO2HUB_DATA_DIR", str(tmp_path))
