"""Mask secrets in log lines. Pure.

Mask each whole line before it is cut into chunks, so that no secret is split between two of them.
"""

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote

from base.sanitize import remove_controls

MASK = "***"
MIN_SECRET = 6
"""Masking shorter secrets would also blank ordinary words."""

# Every quantifier below is bounded or stops at its own introducer, so a hostile 64 kB line costs linear time.
_TOKENS = re.compile(
    r"\bgh[pousr]_[A-Za-z0-9]{16,255}"  # GitHub
    r"|\bgithub_pat_[A-Za-z0-9_]{16,255}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"  # AWS
    r"|\bglpat-[A-Za-z0-9_-]{16,255}"  # GitLab
    r"|\bhf_[A-Za-z0-9]{20,255}"  # Hugging Face
    r"|\bpypi-[A-Za-z0-9_-]{32,512}"
    r"|\bdckr_pat_[A-Za-z0-9_-]{16,255}"  # Docker Hub
    r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,255}"  # Slack
)
_HEADERS = re.compile(
    r"""(?i)\b(authorization["']?\s{0,5}[:=]\s{0,5}["']?(?:[a-z]{1,20}\s{1,5})?"""
    r"""|bearer\s{1,5}(?=[\w.~+/=-]{16}))[\w.~+/=-]+"""
)
_URL_CREDENTIALS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)[^\s/@]*(?:@[^\s/@]*)*@")


class Masker:
    """Replaces secrets in log lines with `***`.

    Masks the given secrets (each of their lines, also in base64 at any offset, URL-quoted and escaped in JSON),
    credentials in URLs, authorization headers, and strings with the form of a well-known token.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        """Skip empty secrets. Raises ValueError for one shorter than `MIN_SECRET`, without quoting it."""
        forms: set[str] = set()
        for secret in secrets:
            if secret and len(secret) < MIN_SECRET:
                raise ValueError(f"a secret of fewer than {MIN_SECRET} characters cannot be masked")
            for line in secret.splitlines():
                if len(line) >= MIN_SECRET:
                    forms |= _encoded_forms(line)
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._secrets = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def mask(self, text: str) -> str:
        """Return the text without control sequences (see `remove_controls`) and without secrets."""
        # Controls first: a NUL inside a token would hide it from the patterns.
        text = remove_controls(text)
        if self._secrets is not None:
            text = self._secrets.sub(MASK, text)
        text = _URL_CREDENTIALS.sub(rf"\1{MASK}@", text)
        text = _TOKENS.sub(MASK, text)
        return _HEADERS.sub(rf"\1{MASK}", text)


def _encoded_forms(secret: str) -> set[str]:
    """Return the encodings in which the secret may appear."""
    forms = {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1]}
    raw = secret.encode()
    for offset, first in ((0, 0), (1, 2), (2, 3)):
        # In base64 of "prefix + secret + suffix" these characters depend on the secret alone.
        last = (offset + len(raw)) * 8 // 6
        padded = b"\0" * offset + raw
        forms.add(base64.b64encode(padded).decode()[first:last])
        forms.add(base64.urlsafe_b64encode(padded).decode()[first:last])
    return forms
