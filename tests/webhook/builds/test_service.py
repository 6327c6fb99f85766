"""Requests, rebuilds, cancellations and visibility of builds, as the APIs and the pages share them."""

import os
from collections.abc import Callable
from datetime import timedelta

import pytest

from db.database import Database
from db.models import Build
from db.queue import enqueue
from db.records import repositories
from db.status import CancelResult, EnqueueOutcome, Trigger
from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.conftest import COMMIT, NOW
from tests.webhook.records import Clock, Records
from webhook.access.permissions import LOCAL_USER, User
from webhook.builds.build_json import BuildDescriber
from webhook.builds.service import BuildRequest, BuildService
from webhook.http.errors import HttpError, ResolveError
from webhook.lookup.find_image import Hit, Lookup, Miss
from webhook.lookup.ls_remote import LsRemote
from webhook.lookup.remote_ref_cache import RemoteRefCache
from webhook.lookup.resolve import Resolver
from webhook.settings import WebSettings

ALICE = User("alice", is_admin=False)
BOB = User("bob", is_admin=False)

Make = Callable[..., BuildService]


@pytest.fixture
def make(settings: WebSettings, database: Database, github: GitServer, clock: Clock) -> Make:
    """Make a service with changed settings."""

    def make(**changes: object) -> BuildService:
        changed = settings.model_copy(update={"github_url": github.url, **changes})
        remote = RemoteRefCache(LsRemote(github.url, None, os.environ, clock))
        recipe = changed.recipe()
        resolver = Resolver(database, remote, recipe, clock)
        lookup = Lookup(database, resolver, recipe, clock)
        return BuildService(changed, database, resolver, lookup, BuildDescriber("/"), recipe, clock)

    return make


@pytest.fixture
def service(make: Make) -> BuildService:
    return make()


@pytest.fixture
def public(records: Records) -> int:
    """A queued build of a public repository, requested by nobody."""
    build_id = records.push()
    with records.database.write() as session:
        repository = records.repository(session)
        repository.private, repository.private_known = False, True
    return build_id


def status_of(error: pytest.ExceptionInfo[HttpError]) -> tuple[int, str]:
    return error.value.status, error.value.code


# Request


def test_a_request_resolves_the_ref_and_records_who_asked(
    service: BuildService, remote_repository: BareRepository
) -> None:
    requested = service.request(BuildRequest("Org/Repo", "main", ALICE))
    assert requested.outcome is EnqueueOutcome.QUEUED and requested.build_id is not None
    assert requested.resolved.commit == remote_repository.head()
    described = service.describe(requested.build_id, ALICE)
    assert (described["requested_by"], described["trigger"]) == ("alice", Trigger.MANUAL)
    assert service.describe_requested(requested) == {"outcome": "queued", "build": described}


def test_a_request_for_an_image_that_exists_returns_it(service: BuildService, records: Records) -> None:
    name = records.succeed(records.push())
    requested = service.request(BuildRequest("org/repo", COMMIT, LOCAL_USER))
    assert (requested.outcome, requested.build_id) == (EnqueueOutcome.EXISTS, None)
    described = service.describe_requested(requested)
    assert "build" not in described and described["image"]["image"] == name
    assert (described["image"]["repository"], described["image"]["ref"]) == ("Org/Repo", "")


def test_a_repository_that_is_not_allowed_is_refused_before_github_is_asked(
    make: Make, github: GitServer
) -> None:
    service = make(allowed_repositories=("org/good",))
    request = BuildRequest("org/bad", "main", LOCAL_USER)
    for ask in (service.request, service.find_image):
        with pytest.raises(HttpError) as refused:
            ask(request)
        assert status_of(refused) == (403, "repository_not_allowed")
    assert github.requests == []


def test_an_image_is_found_or_missed(service: BuildService, records: Records, github: GitServer) -> None:
    build_id = records.push()
    missed = service.find_image(BuildRequest("org/repo", "main", LOCAL_USER))
    assert isinstance(missed, Miss) and (missed.state, missed.build) == ("queued", build_id)
    assert missed.resolved is not None and missed.resolved.commit == COMMIT
    name = records.succeed(build_id)
    found = service.find_image(BuildRequest("org/repo", "main", LOCAL_USER))
    assert isinstance(found, Hit) and found.name == name
    with pytest.raises(ResolveError, match="not a valid git name"):
        service.find_image(BuildRequest("org/repo", "a..b", LOCAL_USER))


def test_a_request_that_conflicts_each_time_is_answered_with_try_again(
    service: BuildService, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def conflict(*_: object, **__: object) -> None:
        attempts.append(1)
        raise enqueue.EnqueueConflict

    monkeypatch.setattr(enqueue, "enqueue", conflict)
    with pytest.raises(HttpError) as failed:
        service.request(BuildRequest("org/repo", COMMIT, LOCAL_USER))
    assert status_of(failed) == (503, "try_again") and failed.value.headers == {"Retry-After": "5"}
    assert len(attempts) == 3


# Limits


def test_a_limit_an_hour_says_when_to_try_again(make: Make, clock: Clock, public: int) -> None:
    service = make(user_builds_per_hour=2, user_active_builds=0)
    for digit in "12":
        service.request(BuildRequest("org/repo", digit * 40, ALICE))
    clock.now += timedelta(minutes=48)
    with pytest.raises(HttpError) as refused:
        service.request(BuildRequest("org/repo", "3" * 40, ALICE))
    assert status_of(refused) == (429, "too_many_builds")
    assert refused.value.headers == {"Retry-After": "720"}
    expected = "You reached your limit of 2 builds an hour. Try again at 13:00 UTC (in 12 min)."
    assert str(refused.value) == expected and NOW.hour == 12
    service.request(BuildRequest("org/repo", "3" * 40, BOB))


def test_a_limit_of_active_builds_says_what_to_do(make: Make, public: int) -> None:
    service = make(user_active_builds=1)
    service.request(BuildRequest("org/repo", "1" * 40, ALICE))
    with pytest.raises(HttpError, match="limit of 1 queued and running builds") as refused:
        service.request(BuildRequest("org/repo", "2" * 40, ALICE))
    assert status_of(refused) == (429, "too_many_builds")


# Rebuild, cancel, visibility


def test_a_rebuild_ignores_the_image_that_exists(service: BuildService, records: Records) -> None:
    build_id = records.push()
    records.succeed(build_id)
    requested = service.rebuild(build_id, LOCAL_USER)
    assert requested.outcome is EnqueueOutcome.QUEUED and requested.build_id != build_id
    assert (requested.resolved.commit, requested.resolved.ref) == (COMMIT, "refs/heads/main")


def test_a_build_of_another_git_server_can_be_rebuilt(service: BuildService, records: Records) -> None:
    url = "https://gitlab.com/group/project"
    with records.database.write() as session:
        repository = repositories.record(session, full_name=url, provider="git", now=NOW)
        fields = {"ref": "refs/heads/main", "commit": COMMIT, "recipe": service.recipe}
        queued = enqueue.enqueue(
            session, repository=repository, now=NOW, trigger=Trigger.LAUNCH, requested_by=None, **fields
        )
        assert queued.build is not None
        build_id = queued.build.id
    records.succeed(build_id)
    requested = service.rebuild(build_id, LOCAL_USER)
    assert (requested.outcome, requested.repository) == (EnqueueOutcome.QUEUED, url)


def test_a_rebuild_needs_access_to_the_repository(service: BuildService, records: Records) -> None:
    build_id = records.push()
    with records.database.write() as session:
        session.get_one(Build, build_id).requested_by = "alice"
        records.repository(session).private = True
    with pytest.raises(HttpError, match="no longer have access") as refused:
        service.rebuild(build_id, ALICE)
    assert status_of(refused) == (403, "not_yours")


def test_a_private_build_is_as_unknown_as_one_that_does_not_exist(
    service: BuildService, records: Records
) -> None:
    build_id = records.push()
    errors = []
    for one in (build_id, build_id + 1):
        with pytest.raises(HttpError) as hidden:
            service.describe(one, ALICE)
        errors.append((*status_of(hidden), str(hidden.value)))
    assert errors[0] == errors[1] == (404, "unknown_build", "Build not found.")


def test_only_admins_and_the_requester_can_change_a_build(service: BuildService, public: int) -> None:
    assert service.describe(public, ALICE)["id"] == public
    for change in (service.cancel, service.rebuild):
        with pytest.raises(HttpError) as refused:
            change(public, ALICE)
        assert status_of(refused) == (403, "not_yours")


def test_a_build_is_cancelled_once(service: BuildService, public: int) -> None:
    assert service.cancel(public, LOCAL_USER) is CancelResult.DONE
    with pytest.raises(HttpError) as late:
        service.cancel(public, LOCAL_USER)
    assert status_of(late) == (409, "already_finished")
