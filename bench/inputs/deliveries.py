"""Signed push deliveries of the size of GitHub's, prepared before a measurement."""

import hashlib
import json
import uuid

from demo.github.delivery import push_payload
from tests.support.service import SECRET
from webhook.github.signature import sign

REPOSITORIES = 500
# A real payload has about 40 addresses of its repository, which are most of its 7 kB.
_LINK = "https://api.github.com/repos/org/repository/link{/sha}" + "x" * 40
_ADDRESSES = {f"link_{number}_url": _LINK for number in range(40)}


def prepare(count: int, *, first: int = 0) -> list[bytes]:
    """Return `count` requests: the pushes from number `first` on, to each repository in turn.

    Each push replaces the previous one of its repository and is some seconds newer.
    """
    return [_request(number) for number in range(first, first + count)]


def _request(number: int) -> bytes:
    payload = push_payload(
        f"org/repo-{number % REPOSITORIES}",
        commit=_commit(number),
        before=_commit(number - REPOSITORIES),
        pushed_at=1_700_000_000 + number,
    )
    payload["repository"] |= _ADDRESSES
    body = json.dumps(payload).encode()
    headers = {
        "Host": "127.0.0.1",
        "User-Agent": "GitHub-Hookshot/bench",
        "Accept": "*/*",
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-Hub-Signature-256": sign(body, SECRET.encode()),
        "Content-Length": str(len(body)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /webhook/github HTTP/1.1\r\n{head}\r\n".encode() + body


def _commit(number: int) -> str:
    return hashlib.sha1(str(number).encode()).hexdigest()
