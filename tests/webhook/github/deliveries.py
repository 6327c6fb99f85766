"""Payloads as GitHub sends them, reduced to the fields that the receiver reads."""

from typing import Any

ONE, TWO, THREE, ZERO = "1" * 40, "2" * 40, "3" * 40, "0" * 40
MAIN = "refs/heads/main"
EPOCH = 1_795_000_000

REPOSITORY = {"id": 7, "full_name": "Org/Repo", "default_branch": "main", "private": False}


def repository(**changes: Any) -> dict[str, Any]:
    return REPOSITORY | changes


def push(
    after: str = TWO,
    before: str = ONE,
    *,
    ref: str = MAIN,
    at: int | None = EPOCH,
    message: str = "Add a plot",
    commit: str | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Return a push of `after`. `commit` is the commit of an annotated tag."""
    head = {"id": commit or after, "message": message, "author": {"username": "ada", "name": "Ada"}}
    return {
        "ref": ref,
        "before": before,
        "after": after,
        "created": before == ZERO,
        "deleted": after == ZERO,
        "forced": False,
        "repository": repository(pushed_at=at),
        "head_commit": None if after == ZERO else head,
    } | changes


def hook(event: str = "push", *, active: bool = True) -> dict[str, Any]:
    return {"type": "Repository", "active": active, "events": [event]}
