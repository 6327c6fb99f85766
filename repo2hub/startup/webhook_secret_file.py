"""The webhook secret that `repo2hub up` generates if none is configured: a file in the data folder.

`repo2hub web` uses that file but never creates it: several web hosts would each have a secret of their own.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def secret_path(data_dir: Path) -> Path:
    """Return the path of the secret file, which may not exist."""
    return data_dir / "webhook-secret"


def read_secret(data_dir: Path) -> str | None:
    """Return the generated secret, or None if there is none. Raises OSError if the file cannot be read."""
    try:
        return secret_path(data_dir).read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


def ensure_secret(data_dir: Path) -> Path:
    """Return the path of the secret file. If it does not exist, create it, readable by this user only."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = data_dir / f"webhook-secret.{os.getpid()}"
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    try:
        part.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
        # link() is atomic and fails if the file exists: a crash leaves no empty secret, and a second start
        # keeps the first.
        with suppress(FileExistsError):
            os.link(part, secret_path(data_dir))
    finally:
        part.unlink()
    return secret_path(data_dir)
