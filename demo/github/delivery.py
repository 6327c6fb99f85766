"""Send a push delivery as GitHub does: the complete payload, signed, with its headers.

Fields and headers are those of GitHub's page "Webhook events and payloads", event push.
"""

import hashlib
import hmac
import json
import uuid
from typing import Any

import requests

ZERO_COMMIT = "0" * 40


def push_payload(
    repository: str,
    *,
    commit: str,
    before: str = ZERO_COMMIT,
    ref: str = "refs/heads/main",
    default_branch: str = "main",
    server: str = "https://github.com",
    message: str = "Update",
    pushed_at: int | None = None,
    private: bool = False,
    provider_id: int | None = None,
) -> dict[str, Any]:
    """Return the payload of a push of `commit` to `ref`; ZERO_COMMIT deletes the ref.

    `pushed_at` is in seconds since 1970. By default the repository's id is derived from its name.
    """
    author = {"name": "Ada", "email": "ada@example.org", "username": "ada"}
    head = {
        "id": commit,
        "tree_id": commit,
        "distinct": True,
        "message": message,
        "timestamp": "2026-11-23T12:00:00Z",
        "url": f"{server}/{repository}/commit/{commit}",
        "author": author,
        "committer": author,
        "added": [],
        "removed": [],
        "modified": ["README.md"],
    }
    deleted = commit == ZERO_COMMIT
    return {
        "ref": ref,
        "before": before,
        "after": commit,
        "created": before == ZERO_COMMIT,
        "deleted": deleted,
        "forced": False,
        "base_ref": None,
        "compare": f"{server}/{repository}/compare/{before[:12]}...{commit[:12]}",
        "commits": [] if deleted else [head],
        "head_commit": None if deleted else head,
        "repository": _repository(repository, server, provider_id)
        | {"private": private, "default_branch": default_branch, "pushed_at": pushed_at},
        "pusher": {"name": "ada", "email": "ada@example.org"},
        "sender": {"login": "ada", "id": 1},
    }


def _repository(full_name: str, server: str, provider_id: int | None) -> dict[str, Any]:
    owner, _, name = full_name.partition("/")
    return {
        "id": provider_id or int(hashlib.sha256(full_name.lower().encode()).hexdigest()[:8], 16),
        "name": name,
        "full_name": full_name,
        "owner": {"name": owner, "login": owner},
        "html_url": f"{server}/{full_name}",
        "clone_url": f"{server}/{full_name}.git",
    }


def deliver(
    url: str,
    event: str,
    payload: dict[str, Any],
    *,
    secret: str,
    guid: str | None = None,
    timeout: float = 10,
) -> requests.Response:
    """Send a signed delivery and return the response. GitHub also waits 10 s for it."""
    body = json.dumps(payload, separators=(",", ":")).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/repo2hub",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": guid or str(uuid.uuid4()),
        "X-GitHub-Hook-ID": "1",
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    return requests.post(url, data=body, headers=headers, timeout=timeout)
