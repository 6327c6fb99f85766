"""The JSON objects of the API, as types: the code that builds them and the OpenAPI description share these."""

from typing import Literal, NotRequired

from pydantic import with_config
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from db.records.build_fields import BuildFields, Timestamp
from db.status import EnqueueOutcome, Phase
from webhook.builds.advice import FixedBy
from webhook.lookup.lookup import MissState


class AdviceJson(TypedDict):
    """What to do about a failed build."""

    who: FixedBy
    text: str


class BuiltImageJson(TypedDict):
    """The image of a build."""

    image: str
    digest: str | None


class BuildLinks(TypedDict):
    """The paths of a build's resources."""

    self: str
    log: str
    cancel: str
    rebuild: str


@with_config(use_attribute_docstrings=True)
class BuildSummary(BuildFields):
    """A build in a list."""

    force: bool
    """Whether it was built although an image existed."""
    phase: Phase | None
    cancel_requested: bool
    image: BuiltImageJson | None
    """The image of a successful build; null after it was removed."""
    pushed_at: Timestamp | None
    fetching_at: Timestamp | None
    building_at: Timestamp | None
    pushing_at: Timestamp | None
    durations: dict[str, float]
    """Seconds spent waiting, fetching, building, pushing, and in total; phases that have not begun are absent."""
    advice: AdviceJson | None
    links: BuildLinks


@with_config(use_attribute_docstrings=True)
class BuildJson(BuildSummary):
    """A build."""

    queue_position: int | None
    """1 for the next build to start; null unless the build is queued."""


class FallbackJson(TypedDict):
    """An image that is not exactly the requested one."""

    image: str
    digest: str | None
    commit: str
    recipe: str
    built_at: Timestamp | None
    exact: bool


@with_config(use_attribute_docstrings=True)
class ImageJson(FallbackJson):
    """An image."""

    ref: str
    repository: str
    stale: NotRequired[Literal[True]]
    """Present if GitHub was unreachable and this is the image of the last known commit."""


@with_config(use_attribute_docstrings=True)
class MissJson(TypedDict):
    """Why there is no image of a repository and ref."""

    state: MissState
    message: str
    repository: str
    ref: str | None
    commit: str | None
    build: int | None
    fallback: FallbackJson | None
    """An image to use instead: the commit's with another recipe, else the newest of the ref."""
    links: NotRequired[BuildLinks]
    """The paths of the build, if there is one."""
    stale: NotRequired[Literal[True]]
    """Present if GitHub was unreachable and this is about the last known commit."""


@with_config(use_attribute_docstrings=True)
class RequestedJson(TypedDict):
    """The result of a build request: a build, or the image if it exists already."""

    outcome: EnqueueOutcome
    build: NotRequired[BuildJson]
    image: NotRequired[ImageJson]
    stale: NotRequired[Literal[True]]
    """Present if GitHub was unreachable and this is about the last known commit."""
