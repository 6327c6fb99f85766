"""Verify that a delivery is signed with one of the configured secrets.

GitHub signs the raw body with HMAC-SHA256 and sends `X-Hub-Signature-256: sha256=<hex>`. Several secrets can be
valid at once, so you can rotate a secret without losing a delivery: add the new one here, change it on GitHub,
then remove the old one.
"""

import hmac
import re
from collections.abc import Iterable, Sequence

from base.settings import SettingsError

HEADER = "X-Hub-Signature-256"


class NoSecret(SettingsError):
    """Raised when no secret is configured, because everyone could then send deliveries."""

    def __init__(self) -> None:
        super().__init__("REPO2HUB_WEBHOOK_SECRETS: set at least one webhook secret")


def hmac_keys(secrets: Iterable[str]) -> tuple[bytes, ...]:
    """Return the secrets as HMAC keys, without empty ones. Raises NoSecret if none is left."""
    keys = tuple(secret.encode() for secret in secrets if secret.strip())
    if not keys:
        raise NoSecret
    return keys


def sign(body: bytes, key: bytes) -> str:
    """Return the value of the signature header as GitHub sends it."""
    return "sha256=" + hmac.digest(key, body, "sha256").hex()


def is_signature(header: str | None) -> bool:
    """Return whether `header` has the form of a signature. If not, the body need not be read."""
    return header is not None and re.fullmatch(r"sha256=[0-9a-f]{64}", header) is not None


def is_signed(body: bytes, header: str | None, hmac_keys: Sequence[bytes]) -> bool:
    """Return whether `header` signs `body` with one of the keys, in a time that does not reveal which."""
    # compare_digest rejects a str with non-ASCII characters, and the header is untrusted.
    given = (header or "").encode("utf-8", "surrogatepass")
    matches = [hmac.compare_digest(given, sign(body, key).encode()) for key in hmac_keys]
    return any(matches)
