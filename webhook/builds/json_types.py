"""The JSON objects of the API, as types: the code that builds them and the OpenAPI description share these."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from db.columns import MAX_ID
from db.records.build_fields import BuildFields, Timestamp
from db.status import EnqueueOutcome, Phase, Status, Trigger
from webhook.builds.advice import FixedBy
from webhook.lookup.find_image import MissState

MAX_PAGE = 100
"""Builds in a page of the API."""
MAX_ATTEMPT = 999_999_999


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


class BuildSummary(BuildFields):
    """A build in a list."""

    force: Annotated[bool, Field(description="Whether it was built although an image existed.")]
    phase: Phase | None
    cancel_requested: bool
    image: Annotated[
        BuiltImageJson | None,
        Field(description="The image of a successful build; null after it was removed."),
    ]
    pushed_at: Timestamp | None
    fetching_at: Timestamp | None
    building_at: Timestamp | None
    pushing_at: Timestamp | None
    durations: Annotated[
        dict[str, float],
        Field(description="Seconds per phase and in total; phases that have not begun are absent."),
    ]
    advice: AdviceJson | None
    links: BuildLinks


class BuildJson(BuildSummary):
    """A build."""

    queue_position: Annotated[
        int | None, Field(description="1 for the next build to start; null unless the build is queued.")
    ]


class FallbackJson(TypedDict):
    """An image that is not exactly the requested one."""

    image: str
    digest: str | None
    commit: str
    recipe: str
    built_at: Timestamp | None
    exact: bool


class ImageJson(FallbackJson):
    """An image."""

    ref: str
    repository: str
    stale: NotRequired[
        Annotated[
            Literal[True],
            Field(
                description="Present if GitHub was unreachable and this is the image of the last known commit."
            ),
        ]
    ]


class MissJson(TypedDict):
    """Why there is no image of a repository and ref."""

    state: MissState
    message: str
    repository: str
    ref: str | None
    commit: str | None
    build: int | None
    fallback: Annotated[
        FallbackJson | None,
        Field(
            description="An image to use instead: the commit's with another recipe, else the newest of the ref."
        ),
    ]
    links: NotRequired[Annotated[BuildLinks, Field(description="The paths of the build, if there is one.")]]
    stale: NotRequired[
        Annotated[
            Literal[True],
            Field(description="Present if GitHub was unreachable and this is about the last known commit."),
        ]
    ]


class RequestedJson(TypedDict):
    """The result of a build request: a build, or the image if it exists already."""

    outcome: EnqueueOutcome
    build: NotRequired[BuildJson]
    image: NotRequired[ImageJson]
    stale: NotRequired[
        Annotated[
            Literal[True],
            Field(description="Present if GitHub was unreachable and this is about the last known commit."),
        ]
    ]


class BuildPageJson(TypedDict):
    """A page of builds."""

    builds: list[BuildSummary]
    next: Annotated[str | None, Field(description="The path and query of the next page, or null.")]


class CancelledJson(TypedDict):
    """The result of a request to cancel a build."""

    outcome: Literal["cancelled", "requested"]
    build: BuildJson


class ListedImageJson(ImageJson):
    """An image that can be started now, and the build that made it."""

    commit_title: str | None
    build: int


class ImageListJson(TypedDict):
    """The images that can be started now."""

    images: list[ListedImageJson]


class BuildRequestJson(TypedDict):
    """A request for the image of a repository and ref."""

    repository: Annotated[str, Field(description="`org/repo` or a GitHub URL.")]
    ref: NotRequired[
        Annotated[str, Field(description="A branch, a tag, a commit or HEAD, which is the default.")]
    ]
    force: NotRequired[Annotated[bool, Field(description="Whether to build even if the image exists.")]]


class BuildListQuery(TypedDict, total=False):
    """The filters of a list of builds; an empty one filters nothing."""

    repository: Annotated[str, Field(description="`org/repo` or a GitHub URL.")]
    ref: Annotated[str, Field(description="A branch, a tag or a commit of `repository`.")]
    status: Status | Literal[""]
    trigger: Trigger | Literal[""]
    before: Annotated[
        Annotated[int, Field(ge=1, le=MAX_ID)] | Literal[""],
        Field(description="Only builds with a smaller id."),
    ]
    limit: Annotated[
        int, Field(ge=1, le=MAX_PAGE, description="The number of builds in the page, 50 by default.")
    ]


class LogQuery(TypedDict, total=False):
    """What to return of a log."""

    attempt: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_ATTEMPT,
            description="The attempt whose log is returned as text, by default the last.",
        ),
    ]
    after: Annotated[
        str, Field(description="Where an event stream starts: the id of the last event that was received.")
    ]


class NoFields(TypedDict):
    """Any JSON object. It is required because other web sites cannot make a browser send JSON."""


class BuildPath(TypedDict):
    """The path of a build."""

    build: Annotated[int, Field(ge=1, le=MAX_ID, description="The id of the build.")]


class SpecPath(TypedDict):
    """The path of an image."""

    spec: Annotated[
        str,
        Field(description="`org/repo` or `org/repo/ref`. The ref can contain slashes and defaults to HEAD."),
    ]
