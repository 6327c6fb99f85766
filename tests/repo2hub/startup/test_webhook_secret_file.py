"""The generated webhook secret."""

import stat
from pathlib import Path

from repo2hub.startup import webhook_secret_file


def test_a_webhook_secret_is_created_once_and_readable_by_this_user_only(tmp_path: Path) -> None:
    made = webhook_secret_file.ensure_secret(tmp_path / "data")
    text = made.read_text()
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert len(text.strip()) == 64
    assert webhook_secret_file.ensure_secret(tmp_path / "data").read_text() == text
    assert list(made.parent.iterdir()) == [made]
