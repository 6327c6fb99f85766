"""The list of builds as one request wants it: its filters and its search, which live in the address."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from base.repository_names import GITHUB
from db.models import Build, Repository
from db.queries import durations, history
from db.queries.history import ActiveBuild, BuildFilter
from db.queries.visibility import ReadAccess
from db.records import builders, repositories
from db.status import Status, Trigger
from webhook.http.errors import HttpError
from webhook.http.parameters import parse_enum, parse_number
from webhook.lookup.revision import parse_ref, parse_repository

PAGE = 50
_NAMES = ("repository", "ref", "status", "trigger", "q")
_EXPECTATION_MAX_AGE = timedelta(minutes=1)
_MAX_EXPECTATIONS = 10_000
_MAX_SEARCH_LENGTH = 200
_NO_REPOSITORY_ID = -1
"""No repository has this id."""


@dataclass(frozen=True)
class BuildQuery:
    """What the address says, checked: empty where it says nothing."""

    repository: str = ""
    ref: str = ""
    status: str = ""
    trigger: str = ""
    q: str = ""
    before: int | None = None

    @property
    def is_first_page(self) -> bool:
        """Whether what is under way belongs on top."""
        return self.before is None and not self.q

    @property
    def below(self) -> int:
        """The id below which the page begins."""
        return history.MAX_ID if self.before is None else self.before

    @property
    def is_filtered(self) -> bool:
        """Whether anything is left out on purpose."""
        return any(getattr(self, name) for name in _NAMES)

    def link(self, **changes: object) -> str:
        """Return the address's query with some of it changed; a change of filters leads to the first page."""
        values = {name: getattr(self, name) for name in _NAMES} | changes
        given = {name: str(value) for name, value in values.items() if value not in ("", None)}
        return f"?{urlencode(given)}" if given else "?"


@dataclass
class BuildListing:
    """What the page shows of it."""

    query: BuildQuery
    active: list[ActiveBuild] = field(default_factory=list)
    active_total: int = 0
    lacks_builder: bool = False
    """Whether builds wait while no builder lives that could take them."""
    newest: int = 0
    """The id of the newest build: an open page sees by it that there is another."""
    ended: Sequence[Build] = ()
    expected: dict[int, timedelta | None] = field(default_factory=dict)
    """By repository, how long a build is likely to take."""
    repositories: Sequence[Repository] = ()
    below: int | None = None
    """Where the next page begins."""
    searched: int | None = None
    """How many builds the words of a search were looked for in, where that was not all."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing at all yet."""
        nothing = not self.active and not self.ended
        return nothing and self.query.before is None and not self.query.is_filtered


def parse_query(given: Mapping[str, str], github_url: str) -> BuildQuery:
    """Return the wishes of an address. Raises HttpError where one cannot be read."""
    values = {name: given.get(name, "").strip() for name in _NAMES}
    values["q"] = values["q"][:_MAX_SEARCH_LENGTH]
    if values["repository"]:
        values["repository"] = parse_repository(values["repository"], github_url)
    if values["ref"] and not values["repository"]:
        raise HttpError(422, "bad_ref", "ref requires repository. Add the repository of the ref.")
    if values["ref"]:
        # Before the repository is looked for: refused only where there is one, it would tell that there is.
        parse_ref(values["ref"])
    if values["status"]:
        parse_enum(values["status"], "status", Status)
    if values["trigger"]:
        parse_enum(values["trigger"], "trigger", Trigger)
    before = parse_number(given["before"], "before") if given.get("before") else None
    return BuildQuery(**values, before=before)


def parse_build_number(text: str) -> int | None:
    """Return the build that a search for `#17` or `17` means, or None."""
    match = re.fullmatch(r"#?([0-9]{1,18})", text)
    return int(match[1]) if match else None


class ExpectedDurations:
    """How long builds of each repository take, read once in a while: each open page asks every few seconds."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._known: dict[int, tuple[datetime, timedelta | None]] = {}

    def now(self) -> datetime:
        """Return the time by the service's clock."""
        return self._clock()

    def of(self, session: Session, repository_id: int) -> timedelta | None:
        """Return how long a build of a repository is likely to take; None before its first good one."""
        now = self._clock()
        read_at, expected = self._known.get(repository_id, (now - _EXPECTATION_MAX_AGE, None))
        if now - read_at >= _EXPECTATION_MAX_AGE:
            if len(self._known) > _MAX_EXPECTATIONS:
                self._known.clear()
            expected = durations.expected_duration(session, repository_id)
            self._known[repository_id] = now, expected
        return expected


def collect(
    session: Session, read_access: ReadAccess, query: BuildQuery, expectations: ExpectedDurations
) -> BuildListing:
    """Read all that the page shows."""
    wanted, listing = to_filter(session, query), BuildListing(query)
    if query.is_first_page:
        _add_active(session, read_access, listing, wanted, expectations)
    if re.fullmatch(r"[0-9a-f]{6,64}", query.q):
        listing.ended = history.builds_by_commit_prefix(session, read_access, query.q)
    elif query.q:
        found = history.search(session, read_access, wanted, query.q, below=query.below, limit=PAGE)
        listing.ended, listing.below = found
        listing.searched = history.SEARCH_WINDOW if found.below else None
        if query.before is None and not query.repository:
            listing.repositories = history.search_repositories(session, read_access, query.q)
    else:
        page = history.page(session, read_access, wanted, below=query.below, limit=PAGE + 1)
        listing.ended = page[:PAGE]
        listing.below = page[PAGE - 1].id if len(page) > PAGE else None
    return listing


def collect_active(
    session: Session, read_access: ReadAccess, query: BuildQuery, expectations: ExpectedDurations
) -> BuildListing:
    """Read only what is under way, as an open page does every few seconds."""
    listing = BuildListing(query)
    _add_active(session, read_access, listing, to_filter(session, query), expectations)
    return listing


def _add_active(
    session: Session,
    read_access: ReadAccess,
    listing: BuildListing,
    wanted: BuildFilter,
    expectations: ExpectedDurations,
) -> None:
    """Add what is under way, with how long it is likely to take."""
    listing.active, listing.active_total = history.active_builds(session, read_access, wanted, limit=PAGE)
    listing.newest = history.newest_id(session)
    if listing.active and all(waiting.build.status is Status.QUEUED for waiting in listing.active):
        listing.lacks_builder = not builders.any_alive(session, expectations.now())
    for repository_id in {waiting.build.repository_id for waiting in listing.active}:
        listing.expected[repository_id] = expectations.of(session, repository_id)


def to_filter(session: Session, query: BuildQuery) -> BuildFilter:
    """Return which builds are meant; a name that a branch and a tag have means both. Raises ResolveError."""
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
