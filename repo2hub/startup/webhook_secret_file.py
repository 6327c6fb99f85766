"""The webhook secret that `repo2hub up` makes up where none is configured: a file in the data folder.

`repo2hub web` on that folder goes on with it, but makes none: several web hosts would then each have its own.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def secret_path(data_dir: Path) -> Path:
    """Return where the secret of this data folder is, if one was made."""
    return data_dir / "webhook-secret"


def read_secret(data_dir: Path) -> str | None:
    """Return the secret of this data folder, None where none was made. Raises OSError where it cannot be read."""
    try:
        return secret_path(data_dir).read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


def ensure_secret(data_dir: Path) -> Path:
    """Return the file of the data folder's secret, made at the first call and readable for this user alone."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = data_dir / f"webhook-secret.{os.getpid()}"
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    try:
        part.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
        # Atomic, and fails where there is one: a crash leaves no empty secret, a second start no other.
        with suppress(FileExistsError):
            os.link(part, secret_path(data_dir))
    finally:
        part.unlink()
    return secret_path(data_dir)
