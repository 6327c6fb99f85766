"""What the service answers, as records: an image, the lack of one, and a build."""

from dataclasses import dataclass
from typing import Any

JSON = dict[str, Any]

_BUILDABLE_STATES = ("none", "queued", "running", "cancelled")


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is ready to start."""

    name: str
    repository: str
    ref: str
    commit: str

    @classmethod
    def from_json(cls, answer: JSON, repository: str, ref: str) -> "Image":
        """Read an image; `repository` and `ref` are used where the answer does not have them."""
        return cls(
            name=str(answer["image"]),
            repository=str(answer.get("repository") or repository),
            ref=str(answer.get("ref") or ref),
            commit=str(answer["commit"]),
        )


@dataclass(frozen=True, slots=True)
class ImageNotReady:
    """Why there is no image.

    `state` is unknown_repository, unknown_ref, ambiguous_commit, none, queued, running, failed or cancelled;
    `fallback` is the last successful image of the ref.
    """

    state: str
    message: str
    commit: str | None = None
    fallback: Image | None = None

    @property
    def can_be_built(self) -> bool:
        """Whether a build can produce the image. A failed commit is only built again on request."""
        return self.state in _BUILDABLE_STATES

    @classmethod
    def from_json(cls, answer: JSON, repository: str, ref: str) -> "ImageNotReady":
        fallback = answer.get("fallback")
        return cls(
            state=str(answer["state"]),
            message=str(answer.get("message") or ""),
            commit=answer.get("commit"),
            fallback=Image.from_json(fallback, repository, ref) if isinstance(fallback, dict) else None,
        )


@dataclass(frozen=True, slots=True)
class Build:
    """A build in any status."""

    id: int
    status: str
    message: str | None
    phase: str | None
    queue_position: int | None

    @classmethod
    def from_json(cls, answer: JSON) -> "Build":
        return cls(
            id=int(answer["id"]),
            status=str(answer["status"]),
            message=answer.get("message"),
            phase=answer.get("phase"),
            queue_position=answer.get("queue_position"),
        )
