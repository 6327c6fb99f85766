"""Whether a delivery was signed with one of our secrets.

GitHub signs the raw bytes of the body with HMAC-SHA256 and sends `X-Hub-Signature-256: sha256=<hex>`. Several
secrets are valid at once, so that a secret can be changed without losing a delivery: add the new one here,
change it at GitHub, then remove the old one.
"""

import hmac
import re
from collections.abc import Iterable, Sequence

from base.settings import SettingsError

HEADER = "X-Hub-Signature-256"


class NoSecret(SettingsError):
    """Raised where the receiver would have to accept deliveries of anybody."""

    def __init__(self) -> None:
        super().__init__("REPO2HUB_WEBHOOK_SECRETS: at least one webhook secret must be set")


def hmac_keys(secrets: Iterable[str]) -> tuple[bytes, ...]:
    """Return the secrets as HMAC keys; an empty secret counts as none. Raise NoSecret if none is left."""
    found = tuple(secret.encode() for secret in secrets if secret.strip())
    if not found:
        raise NoSecret
    return found


def sign(body: bytes, key: bytes) -> str:
    """Return the value of the signature's header, as GitHub sends it."""
    return "sha256=" + hmac.digest(key, body, "sha256").hex()


def is_signature(header: str | None) -> bool:
    """Tell whether `header` may sign anything at all: of what it does not, the body need not be read."""
    return header is not None and re.fullmatch(r"sha256=[0-9a-f]{64}", header) is not None


def is_signed(body: bytes, header: str | None, hmac_keys: Sequence[bytes]) -> bool:
    """Tell whether `header` signs `body` with one of the keys, in a time that does not tell which."""
    # compare_digest refuses a str with non-ASCII characters, and the header is anybody's.
    given = (header or "").encode("utf-8", "surrogatepass")
    matches = [hmac.compare_digest(given, sign(body, key).encode()) for key in hmac_keys]
    return any(matches)
