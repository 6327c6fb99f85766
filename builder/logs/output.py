"""From a child's raw lines to log chunks that are safe to store, to show and to `cat`.

All of it is pure. The order is the caller's: `parse_line`, then `Masker.mask` on each whole line (so that a
secret cannot hide on the border of two chunks), then `Chunker.add`.
"""

import base64
import json
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

from base.sanitize import remove_controls

MASK = "***"
#: Shorter secrets cannot be masked without blanking ordinary words.
MIN_SECRET = 6

# Every quantifier below is bounded or stops at its own introducer: a hostile 64 kB line costs linear time.
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
#: The phases that repo2docker names in its JSON lines.
_PHASES = frozenset({"fetching", "building", "pushing", "running", "failed"})


@dataclass(frozen=True)
class LogLine:
    """A line for a person (newlines may be inside it) and the phase repo2docker said with it, if any."""

    text: str
    phase: str | None


def parse_line(line: str) -> LogLine:
    """Read one line of `repo2docker --json-logs`; anything that is not one is taken as plain text.

    `exc_info`, the traceback that comes with the last line of a failure, is left out: its message is in `message`.
    Never raises.
    """
    if line.startswith("{"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return LogLine(line, None)
        message, phase = record.get("message"), record.get("phase")
        if isinstance(message, str):
            known = isinstance(phase, str) and phase in _PHASES
            return LogLine(message.rstrip("\r\n"), phase if known else None)
    return LogLine(line, None)


class Masker:
    """Replaces secrets in log lines by `***`.

    Masked are the given secrets (each line of them, also as base64 at any offset, URL-quoted and inside JSON),
    credentials in URLs, authorization headers, and whatever has the shape of a well-known token.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        """Empty secrets are left out; ValueError for one of fewer than 6 characters (it is not named)."""
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
        # Controls go first: a NUL in the middle of a token would hide it from the patterns.
        text = remove_controls(text)
        if self._secrets is not None:
            text = self._secrets.sub(MASK, text)
        text = _URL_CREDENTIALS.sub(rf"\1{MASK}@", text)
        text = _TOKENS.sub(MASK, text)
        return _HEADERS.sub(rf"\1{MASK}", text)


def _encoded_forms(secret: str) -> set[str]:
    """Return the secret as it may appear in other clothes."""
    forms = {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1]}
    raw = secret.encode()
    for offset, first in ((0, 0), (1, 2), (2, 3)):
        # In base64 of "prefix + secret + suffix" these characters depend on the secret alone.
        last = (offset + len(raw)) * 8 // 6
        padded = b"\0" * offset + raw
        forms.add(base64.b64encode(padded).decode()[first:last])
        forms.add(base64.urlsafe_b64encode(padded).decode()[first:last])
    return forms


@dataclass
class Chunker:
    """Gathers lines into chunks of at most `max_chunk_bytes` bytes of UTF-8, and `cap_bytes` in all.

    A log that would be longer keeps its beginning and its last `tail_bytes` (a quarter of the cap at most): the
    cut is announced by one line as soon as it is certain, on top of the cap, and the tail comes with `close`.
    """

    max_chunk_bytes: int = 32 * 1024
    cap_bytes: int = 16 * 1024 * 1024
    tail_bytes: int = 64 * 1024
    #: Lines wait for company no longer than this, in seconds of the caller's clock.
    flush_after: float = 0.25
    _pending: list[str] = field(default_factory=list, init=False)
    _pending_bytes: int = field(default=0, init=False)
    _pending_since: float = field(default=0.0, init=False)
    _head_bytes: int = field(default=0, init=False)
    _tail: deque[tuple[str, int]] = field(default_factory=deque, init=False)
    _tail_used: int = field(default=0, init=False)
    _cut: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.tail_bytes = min(self.tail_bytes, self.cap_bytes // 4)

    def add(self, line: str, now: float) -> list[str]:
        """Take a line (without its newline) and return the chunks that are ready."""
        ready = []
        for piece, size in _pieces(line + "\n", self.max_chunk_bytes):
            if self._tail or self._cut or self._head_bytes + size > self.cap_bytes - self.tail_bytes:
                ready += self._to_tail(piece, size, now)
            else:
                self._head_bytes += size
                ready += self._append(piece, size, now)
        return ready + self.due(now)

    def due(self, now: float) -> list[str]:
        """Return the waiting lines as a chunk, if the oldest has waited long enough."""
        return self._flush() if self._pending and now - self._pending_since >= self.flush_after else []

    def close(self) -> list[str]:
        """Return what is left: waiting lines, then the tail of a log that was cut."""
        ready: list[str] = []
        while self._tail:
            piece, size = self._tail.popleft()
            ready += self._append(piece, size, self._pending_since)
        return ready + self._flush()

    def _to_tail(self, piece: str, size: int, now: float) -> list[str]:
        ready: list[str] = []
        self._tail.append((piece, size))
        self._tail_used += size
        while self._tail_used > self.tail_bytes:
            if not self._cut:
                self._cut = True
                note = f"[repo2hub] log cut at {self.cap_bytes / 2**20:g} MiB; the last lines follow\n"
                ready += self._append(note, len(note), now)
            self._tail_used -= self._tail.popleft()[1]
        return ready

    def _append(self, piece: str, size: int, now: float) -> list[str]:
        ready = self._flush() if self._pending_bytes + size > self.max_chunk_bytes else []
        if not self._pending:
            self._pending_since = now
        self._pending.append(piece)
        self._pending_bytes += size
        return ready

    def _flush(self) -> list[str]:
        chunk = "".join(self._pending)
        self._pending, self._pending_bytes = [], 0
        return [chunk] if chunk else []


def _pieces(text: str, max_bytes: int) -> Iterable[tuple[str, int]]:
    """Cut a text into pieces of at most `max_bytes` bytes of UTF-8, between characters, each with its size."""
    data = text.encode("utf-8", "replace")
    start = 0
    while start < len(data):
        end = min(start + max_bytes, len(data))
        while end < len(data) and end > start + 1 and data[end] & 0xC0 == 0x80:
            end -= 1
        yield data[start:end].decode("utf-8", "replace"), end - start
        start = end
