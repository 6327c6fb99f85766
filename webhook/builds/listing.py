"""List builds for the pages and the API: the filters and the search of a query string, and the rows that match."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from base.repository_names import GITHUB
from db.columns import MAX_ID
from db.models import Build, Repository
from db.queries import durations, history
from db.queries.history import ActiveBuild, BuildFilter
from db.queries.visibility import ReadAccess
from db.records import builders, builds, repositories
from db.status import Status, Trigger
from webhook.http.errors import HttpError
from webhook.http.parameters import parse_enum, parse_number
from webhook.lookup.revision import parse_ref, parse_repository

PAGE = 50
_NAMES = ("repository", "ref", "status", "trigger", "q")
_MAX_AGE = timedelta(minutes=1)
_MAX_EXPECTATIONS = 10_000
_MAX_SEARCH_LENGTH = 200
_NO_REPOSITORY_ID = -1
"""An id that no repository has."""


@dataclass(frozen=True)
class BuildQuery:
    """The filters and the search of a query string, validated; "" where there is none."""

    repository: str = ""
    ref: str = ""
    status: str = ""
    trigger: str = ""
    q: str = ""
    before: int | None = None

    @property
    def is_first_page(self) -> bool:
        """Whether active builds are shown above the finished ones."""
        return self.before is None and not self.q

    @property
    def below(self) -> int:
        """The id below which the page starts."""
        return MAX_ID if self.before is None else self.before

    @property
    def is_filtered(self) -> bool:
        """Whether there is any filter or search."""
        return any(getattr(self, name) for name in _NAMES)

    def link(self, **changes: object) -> str:
        """Return the query string of the first page, with some filters changed."""
        values = {name: getattr(self, name) for name in _NAMES} | changes
        shown = {name: str(value) for name, value in values.items() if value not in ("", None)}
        return f"?{urlencode(shown)}" if shown else "?"


@dataclass
class BuildListing:
    """What the page of builds shows."""

    query: BuildQuery
    active: list[ActiveBuild] = field(default_factory=list)
    active_total: int = 0
    lacks_builder: bool = False
    """Whether builds are queued while no builder is alive."""
    newest: int = 0
    """The id of the newest build, by which an open page notices new builds."""
    ended: Sequence[Build] = ()
    expected: dict[int, timedelta | None] = field(default_factory=dict)
    """The expected duration of a build, by the id of its repository."""
    repositories: Sequence[Repository] = ()
    below: int | None = None
    """The id below which the next page starts; None if this is the last."""
    searched: int | None = None
    """How many builds the search covered, if not all."""

    @property
    def is_empty(self) -> bool:
        """Whether there are no builds at all."""
        nothing = not self.active and not self.ended
        return nothing and self.query.before is None and not self.query.is_filtered


def parse_query(arguments: Mapping[str, str], github_url: str) -> BuildQuery:
    """Return the validated filters and search of a query string. Raises HttpError 422."""
    values = {name: arguments.get(name, "").strip() for name in _NAMES}
    values["q"] = values["q"][:_MAX_SEARCH_LENGTH]
    if values["repository"]:
        values["repository"] = parse_repository(values["repository"], github_url)
    if values["ref"] and not values["repository"]:
        raise HttpError(422, "bad_ref", "ref requires repository. Add the repository of the ref.")
    if values["ref"]:
        # Before the repository is read: an error only for existing repositories would reveal that they exist.
        parse_ref(values["ref"])
    if values["status"]:
        parse_enum(values["status"], "status", Status)
    if values["trigger"]:
        parse_enum(values["trigger"], "trigger", Trigger)
    before = parse_number(arguments["before"], "before") if arguments.get("before") else None
    return BuildQuery(**values, before=before)


def parse_build_number(text: str) -> int | None:
    """Return the id in a search for `#17` or `17`, or None."""
    match = re.fullmatch(r"#?([0-9]{1,18})", text)
    return int(match[1]) if match else None


class ExpectedDurations:
    """The expected durations of builds, cached for a minute: every open page asks for them every few seconds."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._known: dict[int, tuple[datetime, timedelta | None]] = {}

    def now(self) -> datetime:
        """Return the current time."""
        return self._clock()

    def of(self, session: Session, repository_id: int) -> timedelta | None:
        """Return the expected duration of a repository's builds; None before the first successful one."""
        now = self._clock()
        read_at, expected = self._known.get(repository_id, (now - _MAX_AGE, None))
        if now - read_at >= _MAX_AGE:
            if len(self._known) > _MAX_EXPECTATIONS:
                self._known.clear()
            expected = durations.expected_duration(session, repository_id)
            self._known[repository_id] = now, expected
        return expected


def collect(
    session: Session, read_access: ReadAccess, query: BuildQuery, expected_durations: ExpectedDurations
) -> BuildListing:
    """Read the whole page."""
    matching, listing = to_filter(session, query), BuildListing(query)
    if query.is_first_page:
        _add_active(session, read_access, listing, matching, expected_durations)
    if re.fullmatch(r"[0-9a-f]{6,64}", query.q):
        listing.ended = history.builds_by_commit_prefix(session, read_access, query.q)
    elif query.q:
        found = history.search(session, read_access, matching, query.q, below=query.below, limit=PAGE)
        listing.ended, listing.below = found
        listing.searched = history.SEARCH_WINDOW if found.below else None
        if query.before is None and not query.repository:
            listing.repositories = history.search_repositories(session, read_access, query.q)
    else:
        page = history.page(session, read_access, matching, below=query.below, limit=PAGE + 1)
        listing.ended = page[:PAGE]
        listing.below = page[PAGE - 1].id if len(page) > PAGE else None
    return listing


def collect_active(
    session: Session, read_access: ReadAccess, query: BuildQuery, expected_durations: ExpectedDurations
) -> BuildListing:
    """Read only the active builds, which an open page refreshes every few seconds."""
    listing = BuildListing(query)
    _add_active(session, read_access, listing, to_filter(session, query), expected_durations)
    return listing


def _add_active(
    session: Session,
    read_access: ReadAccess,
    listing: BuildListing,
    matching: BuildFilter,
    expected_durations: ExpectedDurations,
) -> None:
    """Add the active builds and their expected durations."""
    listing.active, listing.active_total = history.active_builds(session, read_access, matching, limit=PAGE)
    listing.newest = builds.newest_id(session)
    if listing.active and all(active.build.status is Status.QUEUED for active in listing.active):
        listing.lacks_builder = not builders.any_alive(session, expected_durations.now())
    for repository_id in {active.build.repository_id for active in listing.active}:
        listing.expected[repository_id] = expected_durations.of(session, repository_id)


def to_filter(session: Session, query: BuildQuery) -> BuildFilter:
    """Return the database filter; a ref matches both a branch and a tag of its name. Raises ResolveError."""
    repository_id: int | None = None
    refs: tuple[str, ...] = ()
    if query.repository:
        repository = repositories.find(session, GITHUB, query.repository)
        repository_id = _NO_REPOSITORY_ID if repository is None else repository.id
        if repository is not None and query.ref:
            refs = _refs(session, repository, query.ref)
    status = Status(query.status) if query.status else None
    trigger = Trigger(query.trigger) if query.trigger else None
    return BuildFilter(repository_id, refs, status, trigger)


def _refs(session: Session, repository: Repository, ref: str) -> tuple[str, ...]:
    names = parse_ref(ref).recorded_as(repository.default_branch)
    return history.refs_with_builds(session, repository.id, names) or (ref,)
