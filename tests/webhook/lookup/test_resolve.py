"""From a ref to a commit: what the records answer, and when git is asked."""

import os
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from db.database import Database
from db.models import RefHead, Repository
from db.queue import enqueue
from db.records import refs, repositories
from db.status import Trigger
from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.conftest import NOW, RECIPE
from tests.webhook.lookup.conftest import Resolve, code_of, list_requests
from tests.webhook.records import Clock
from webhook.access.permissions import LOCAL_USER, User
from webhook.http.errors import ResolveError
from webhook.lookup.ls_remote import LsRemote
from webhook.lookup.remote_ref_cache import RemoteRefCache
from webhook.lookup.resolve import Resolved, Resolver
from webhook.lookup.revision import parse_ref

BUILT = "ab" * 20


@pytest.fixture
def pushed(database: Database) -> Callable[..., Repository]:
    """Record a push, as a delivery does."""

    def push(ref: str, commit: str | None) -> Repository:
        with database.write() as session:
            repository = repositories.record(
                session,
                full_name="Org/Repo",
                provider_id=1,
                default_branch="main",
                webhook_active=True,
                now=NOW,
            )
            refs.record_push(session, repository, ref=ref, commit=commit, before=None, pushed_at=NOW, now=NOW)
            return repository

    return push


def test_a_branch_a_tag_and_head_are_found(resolve: Resolve, remote_repository: BareRepository) -> None:
    first = remote_repository.head()
    remote_repository.tag("v1")
    second = remote_repository.commit({"b": "b"}, branch="feature/with/slashes", parents=())
    assert resolve("main") == Resolved(first, "refs/heads/main", "main")
    assert resolve("v1") == Resolved(first, "refs/tags/v1", "main")
    assert resolve("HEAD") == Resolved(first, "refs/heads/main", "main")
    assert resolve("feature/with/slashes").commit == second
    assert resolve("refs/heads/feature/with/slashes").commit == second
    assert resolve("heads/main").ref == "refs/heads/main"
    assert resolve("tags/v1").ref == "refs/tags/v1"


def test_an_annotated_tag_resolves_to_its_commit(resolve: Resolve, remote_repository: BareRepository) -> None:
    tag_object = remote_repository.tag("v2", annotated=True)
    assert resolve("v2").commit == remote_repository.head() != tag_object


def test_a_branch_goes_before_a_tag_of_the_same_name(
    resolve: Resolve, remote_repository: BareRepository
) -> None:
    tagged = remote_repository.head()
    remote_repository.tag("stable")
    branch = remote_repository.commit({"c": "c"}, branch="stable", parents=())
    assert resolve("stable") == Resolved(branch, "refs/heads/stable", "main")
    assert resolve("refs/tags/stable").commit == tagged != branch


def test_a_pull_request_is_found(resolve: Resolve, remote_repository: BareRepository) -> None:
    proposed = remote_repository.commit({"d": "d"}, branch="theirs", parents=())
    remote_repository.set_ref("refs/pull/7/head", proposed)
    remote_repository.delete_ref("refs/heads/theirs")
    assert resolve("pull/7/head") == Resolved(proposed, "refs/pull/7/head", "main")
    assert resolve("refs/pull/7/head").commit == proposed
    assert code_of(resolve, "refs/pull/8/head") == "unknown_ref"


def test_a_pull_request_is_asked_for_again_despite_deliveries(
    resolve: Resolve,
    remote_repository: BareRepository,
    pushed: Callable[..., Repository],
    clock: Clock,
) -> None:
    first = remote_repository.commit({"a": "a"}, branch="proposed", parents=())
    pushed("refs/pull/7/head", first)
    second = remote_repository.commit({"b": "b"}, branch="proposed", parents=())
    remote_repository.set_ref("refs/pull/7/head", second)
    assert resolve("pull/7/head").commit == first  # a moment ago it was so
    clock.now += timedelta(minutes=1)
    assert resolve("pull/7/head").commit == second


def test_a_full_commit_is_resolved_without_asking(resolve: Resolve, github: GitServer) -> None:
    assert resolve("AB" * 20, "no/body") == Resolved(BUILT, "")
    assert github.requests == []


def test_a_short_commit_is_the_only_tip_with_this_prefix(
    resolve: Resolve, remote_repository: BareRepository
) -> None:
    head = remote_repository.head()
    assert head is not None
    assert resolve(head[:7].upper()).commit == head
    assert code_of(resolve, "abcdef0") == "unknown_ref"


def test_a_short_commit_that_was_built_is_resolved_without_asking(
    resolve: Resolve, database: Database, pushed: Callable[..., Repository], github: GitServer
) -> None:
    repository = pushed("refs/heads/main", "c" * 40)
    for commit in (BUILT, "abababa1" + "0" * 32):
        with database.write() as session:
            enqueue.enqueue(
                session,
                repository=repository,
                ref="",
                commit=commit,
                recipe=RECIPE,
                trigger=Trigger.PUSH,
                now=NOW,
            )
    assert resolve(BUILT[:10]).commit == BUILT
    assert code_of(resolve, BUILT[:7]) == "ambiguous_commit"
    assert github.requests == []


def test_repository_names_are_found_in_any_case(resolve: Resolve, remote_repository: BareRepository) -> None:
    assert resolve("main", "ORG/rEPO").commit == remote_repository.head()


def test_with_deliveries_github_is_not_asked(
    resolve: Resolve, pushed: Callable[..., Repository], github: GitServer, clock: Clock
) -> None:
    pushed("refs/heads/main", "a" * 40)
    pushed("refs/tags/v1", "b" * 40)
    clock.now += timedelta(days=400)
    assert resolve("main").commit == "a" * 40
    assert resolve("HEAD", "ORG/REPO") == Resolved("a" * 40, "refs/heads/main", "main")
    assert resolve("v1").commit == "b" * 40
    assert github.requests == []


def test_after_a_branch_is_deleted_the_tag_of_its_name_counts(
    resolve: Resolve, pushed: Callable[..., Repository], github: GitServer
) -> None:
    pushed("refs/heads/v1", None)
    pushed("refs/tags/v1", "b" * 40)
    assert resolve("v1").ref == "refs/tags/v1"
    assert github.requests == []


def test_after_the_webhook_is_removed_github_is_asked_again(
    resolve: Resolve,
    pushed: Callable[..., Repository],
    database: Database,
    remote_repository: BareRepository,
    clock: Clock,
) -> None:
    repository = pushed("refs/heads/main", "a" * 40)
    with database.write() as session:
        refs.clear_webhook_since(session, session.merge(repository))
    clock.now += timedelta(minutes=1)
    assert resolve("main").commit == remote_repository.head()


def test_an_unrecorded_branch_is_asked_for_once(
    resolve: Resolve,
    pushed: Callable[..., Repository],
    remote_repository: BareRepository,
    github: GitServer,
    clock: Clock,
) -> None:
    pushed("refs/heads/main", "a" * 40)
    old = remote_repository.commit({"o": "o"}, branch="old", parents=())
    for _ in range(3):
        clock.now += timedelta(days=1)
        assert resolve("old", max_age=timedelta(0)).commit == old
    assert len(list_requests(github)) == 1


def test_unknown_repositories_are_not_recorded(
    resolve: Resolve, remote_repository: BareRepository, database: Database
) -> None:
    resolve("main")
    with database.read() as session:
        assert repositories.find(session, "gh", "org/repo") is None


def test_a_repository_without_commits_is_an_error(resolve: Resolve, github: GitServer) -> None:
    github.create("org/empty")
    with pytest.raises(ResolveError, match="no commit"):
        resolve("HEAD", "org/empty")


def test_a_repository_that_needs_the_token_is_private(
    resolve_with: Callable[..., Resolve], github: GitServer, remote_repository: BareRepository
) -> None:
    github.create("org/secret", token="t0ken").commit({"s": "s"})
    resolve = resolve_with("t0ken")
    assert resolve("main", "org/secret").private
    assert not resolve("main").private
    assert github.authorized
    assert all(path.startswith("/org/secret/") for path in github.authorized)


def test_a_private_repository_is_unknown_to_users_without_access(
    database: Database, clock: Clock, github: GitServer
) -> None:
    commit = github.create("org/secret", token="t0ken").commit({"s": "s"})
    remote = LsRemote(github.url, "t0ken", os.environ, clock)
    resolver = Resolver(database, RemoteRefCache(remote), RECIPE, clock, per_user_visibility=True)
    group = User("ada", is_admin=False, repositories=("org/*",))
    for user in (LOCAL_USER, group):
        assert resolver.resolve("org/secret", parse_ref("main"), user).commit == commit
    for ref in ("main", "HEAD", commit):
        with pytest.raises(ResolveError) as caught:
            resolver.resolve("org/secret", parse_ref(ref), User("eve", is_admin=False))
        assert caught.value.code == "unknown_repository"


@pytest.mark.parametrize("is_told_by_deliveries", [True, False])
def test_a_hidden_repository_is_asked_for_but_not_recorded(
    database: Database, clock: Clock, github: GitServer, *, is_told_by_deliveries: bool
) -> None:
    # A company's own server may show what is private to whoever is in its network.
    github.create("org/secret", token=None if is_told_by_deliveries else "t0ken").commit({"s": "s"})
    with database.write() as session:
        repositories.record(
            session, full_name="Org/Secret", private=True, webhook_active=is_told_by_deliveries, now=NOW
        )
    remote = RemoteRefCache(LsRemote(github.url, "t0ken", os.environ, clock))
    resolver = Resolver(database, remote, RECIPE, clock, per_user_visibility=True)
    with pytest.raises(ResolveError) as caught:
        resolver.resolve("org/secret", parse_ref("main"), User("eve", is_admin=False))
    assert caught.value.code == "unknown_repository"
    assert github.requests
    with database.read() as session:
        assert session.scalars(select(RefHead)).all() == []


def test_without_github_the_last_known_head_is_stale(
    resolve: Resolve,
    pushed: Callable[..., Repository],
    database: Database,
    github: GitServer,
    clock: Clock,
) -> None:
    repository = pushed("refs/heads/main", "a" * 40)
    with database.write() as session:
        refs.clear_webhook_since(session, session.merge(repository))
    clock.now += timedelta(hours=1)
    github.stop()
    assert resolve("main") == Resolved("a" * 40, "refs/heads/main", "main", stale=True)
    assert resolve("HEAD").stale
    assert code_of(resolve, "other") == "github_unreachable"
    github.start()
