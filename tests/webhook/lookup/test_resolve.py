"""From a name to a commit, against git's own server: what is asked of it, and what is not."""

import gc
import os
import socket
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

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
from tests.support.waiting import wait_until
from tests.webhook.records import Clock
from tests.webhook.slow_git import SlowGit
from webhook.access.permissions import LOCAL_USER, User
from webhook.http.errors import ResolveError
from webhook.lookup import ls_remote, remote_ref_cache
from webhook.lookup.ls_remote import AdvertisedRefs, LsRemote
from webhook.lookup.remote_ref_cache import RemoteRefCache
from webhook.lookup.resolve import LOOKUP_MAX_AGE, Resolved, Resolver
from webhook.lookup.revision import parse_ref, parse_repository

BUILT = "ab" * 20


Resolve = Callable[..., Resolved]


@pytest.fixture
def resolve_with(github: GitServer, database: Database, clock: Clock) -> Callable[..., Resolve]:
    def build(token: str | None = None, url: str | None = None, hosts: tuple[str, ...] = ()) -> Resolve:
        remote = LsRemote(url or github.url, token, os.environ, clock, hosts)
        resolver = Resolver(database, RemoteRefCache(remote), RECIPE, clock)

        def resolve(ref: str, name: str = "org/repo", max_age: timedelta = LOOKUP_MAX_AGE) -> Resolved:
            full_name = name if "://" in name else parse_repository(name)
            return resolver.resolve(full_name, parse_ref(ref), LOCAL_USER, max_age=max_age)

        return resolve

    return build


@pytest.fixture
def resolve(resolve_with: Callable[..., Resolve]) -> Resolve:
    return resolve_with()


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


def _code(resolve: Resolve, *arguments: object) -> str:
    with pytest.raises(ResolveError) as caught:
        resolve(*arguments)
    return caught.value.code


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


def test_an_annotated_tag_stands_for_its_commit(resolve: Resolve, remote_repository: BareRepository) -> None:
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
    assert _code(resolve, "refs/pull/8/head") == "unknown_ref"


def test_a_pull_request_is_asked_for_again_though_pushes_arrive(
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


def test_a_full_commit_asks_nobody(resolve: Resolve, github: GitServer) -> None:
    assert resolve("AB" * 20, "no/body") == Resolved(BUILT, "")
    assert github.requests == []


def test_a_short_commit_is_the_one_tip_that_begins_so(
    resolve: Resolve, remote_repository: BareRepository
) -> None:
    head = remote_repository.head()
    assert head is not None
    assert resolve(head[:7].upper()).commit == head
    assert _code(resolve, "abcdef0") == "unknown_ref"


def test_a_short_commit_that_was_built_asks_nobody(
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
    assert _code(resolve, BUILT[:7]) == "ambiguous_commit"
    assert github.requests == []


def test_names_of_repositories_are_found_in_any_case(
    resolve: Resolve, remote_repository: BareRepository
) -> None:
    assert resolve("main", "ORG/rEPO").commit == remote_repository.head()


def test_where_pushes_arrive_nobody_is_asked(
    resolve: Resolve, pushed: Callable[..., Repository], github: GitServer, clock: Clock
) -> None:
    pushed("refs/heads/main", "a" * 40)
    pushed("refs/tags/v1", "b" * 40)
    clock.now += timedelta(days=400)
    assert resolve("main").commit == "a" * 40
    assert resolve("HEAD", "ORG/REPO") == Resolved("a" * 40, "refs/heads/main", "main")
    assert resolve("v1").commit == "b" * 40
    assert github.requests == []


def test_a_deleted_branch_makes_room_for_a_tag_of_its_name(
    resolve: Resolve, pushed: Callable[..., Repository], github: GitServer
) -> None:
    pushed("refs/heads/v1", None)
    pushed("refs/tags/v1", "b" * 40)
    assert resolve("v1").ref == "refs/tags/v1"
    assert github.requests == []


def test_a_head_is_asked_for_again_once_the_hook_is_gone(
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


def test_an_old_branch_of_a_repository_with_a_hook_is_asked_for_once(
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
    assert len(_questions(github)) == 1


def test_strangers_names_are_not_written_down(
    resolve: Resolve, remote_repository: BareRepository, database: Database
) -> None:
    resolve("main")
    with database.read() as session:
        assert repositories.find(session, "gh", "org/repo") is None


def _questions(github: GitServer) -> list[str]:
    return [request for request in github.requests if "info/refs" in request]


def test_those_who_ask_at_once_share_one_question(
    resolve: Resolve, remote_repository: BareRepository, github: GitServer
) -> None:
    remote_repository.tag("v1")
    names = ["main", "v1", "HEAD", "refs/heads/main"] * 5
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(resolve, names))
    assert {answer.commit for answer in found} == {remote_repository.head()}
    assert len(_questions(github)) == 1


def test_a_user_who_waits_for_many_answers_leaves_others_theirs(
    database: Database, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_ref_cache, "_MAX_WAITING_PER_USER", 2)
    git = SlowGit(tmp_path)
    remote = RemoteRefCache(LsRemote("http://127.0.0.1:1", None, {"PATH": git.path}, clock))
    resolver = Resolver(database, remote, RECIPE, clock)

    def code(user: str, name: str) -> str:
        with pytest.raises(ResolveError) as caught:
            resolver.resolve(name, parse_ref("main"), User(user, is_admin=False))
        return caught.value.code

    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(code, "eve", name) for name in ("org/a", "org/b")]
        wait_until(lambda: git.asked == 2)
        assert code("eve", "org/c") == "github_unreachable"
        answers.append(pool.submit(code, "bob", "org/c"))
        wait_until(lambda: git.asked == 3)
        git.answer()
        assert [answer.result() for answer in answers] == ["unknown_ref"] * 3
    assert code("eve", "org/d") == "unknown_ref"


def test_an_answer_is_kept_for_a_short_time_only(
    resolve: Resolve, remote_repository: BareRepository, github: GitServer
) -> None:
    resolve("main")
    newer = remote_repository.commit({"n": "n"})
    assert resolve("main").commit != newer
    assert resolve("main", max_age=timedelta(0)).commit == newer
    assert len(_questions(github)) == 2


def _refs_in_memory() -> int:
    return sum(len(found.refs) for found in gc.get_objects() if isinstance(found, AdvertisedRefs))


def test_each_pull_request_is_kept_without_the_branches_and_tags(
    resolve: Resolve, remote_repository: BareRepository
) -> None:
    proposed = remote_repository.commit({"d": "d"}, branch="theirs", parents=())
    for number in range(20):
        remote_repository.tag(f"v{number}")
        remote_repository.set_ref(f"refs/pull/{number}/head", proposed)
    before = _refs_in_memory()
    assert {resolve(f"pull/{number}/head").commit for number in range(5)} == {proposed}
    branches_and_tags = 3 + 20  # HEAD among them
    assert _refs_in_memory() - before == branches_and_tags + 5


def test_the_oldest_answers_are_forgotten_where_they_are_too_much(
    resolve: Resolve, github: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_ref_cache, "_MAX_REFS", 4)
    for name in ("org/a", "org/b", "org/c"):
        github.create(name).commit({"a": "a"})
        resolve("main", name)  # main and HEAD
    asked = len(github.requests)
    resolve("main", "org/c")
    resolve("main", "org/b")
    assert len(github.requests) == asked
    resolve("main", "org/a")
    assert len(github.requests) > asked


def test_answers_that_nobody_would_take_any_more_are_forgotten(
    resolve: Resolve, github: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _refs_in_memory()
    for name in ("org/a", "org/b"):
        github.create(name).commit({"a": "a"})
    resolve("main", "org/a")
    assert _refs_in_memory() - before == 2
    monkeypatch.setattr(remote_ref_cache, "REFS_MAX_AGE", timedelta(0))
    resolve("main", "org/b")
    assert _refs_in_memory() == before


def test_what_git_printed_is_not_kept_with_its_failure(
    resolve_with: Callable[..., Resolve], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text("#!/bin/sh\nhead -c 5000000 /dev/zero\nexit 1\n")
    git.chmod(0o755)
    resolve = resolve_with()
    monkeypatch.setenv("PATH", f"{git.parent}:{os.environ['PATH']}")
    tracemalloc.start()
    try:
        assert _code(resolve, "main") == "github_unreachable"
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


def test_what_is_not_there_is_remembered_too(
    resolve: Resolve, remote_repository: BareRepository, github: GitServer
) -> None:
    assert [_code(resolve, "nope"), _code(resolve, "neither")] == ["unknown_ref"] * 2
    assert len(_questions(github)) == 1
    asked = len(github.requests)
    assert _code(resolve, "main", "no/repository") == "unknown_repository"
    asked_once = len(github.requests) - asked
    assert _code(resolve, "main", "no/repository") == "unknown_repository"
    assert len(github.requests) - asked == asked_once >= 1


def test_a_repository_without_a_commit_says_so(resolve: Resolve, github: GitServer) -> None:
    github.create("org/empty")
    with pytest.raises(ResolveError, match="no commit"):
        resolve("HEAD", "org/empty")


def test_a_private_repository_is_like_a_missing_one_without_the_token(
    resolve_with: Callable[..., Resolve], github: GitServer
) -> None:
    commit = github.create("org/secret", token="t0ken").commit({"s": "s"})
    said = set()
    for name in ("org/secret", "org/gone"):
        with pytest.raises(ResolveError) as caught:
            resolve_with()("main", name)
        said.add((caught.value.code, str(caught.value).replace(name, "*")))
    assert len(said) == 1 and "if it is private, ask an admin" in said.pop()[1]
    assert resolve_with("t0ken")("main", "org/secret").commit == commit
    assert _code(resolve_with("wrong"), "main", "org/secret") == "unknown_repository"


def test_a_renamed_repository_is_followed_but_not_by_the_token(
    resolve_with: Callable[..., Resolve], github: GitServer, tmp_path: Path
) -> None:
    commit = github.create("org/old").commit({"s": "s"})
    github.rename("org/old", "org/new")
    with GitServer(tmp_path / "elsewhere") as elsewhere:
        elsewhere.create("org/bait").commit({"b": "b"})
        github.redirect("org/bait", f"{elsewhere.url}/org/bait")
        resolve = resolve_with("t0ken")
        assert resolve("main", "org/old").commit == commit
        assert resolve("main", "org/bait").ref == "refs/heads/main"
        assert elsewhere.requests and elsewhere.authorized == []
    assert github.authorized == []


def test_a_repository_that_takes_the_token_is_called_private(
    resolve_with: Callable[..., Resolve], github: GitServer, remote_repository: BareRepository
) -> None:
    github.create("org/secret", token="t0ken").commit({"s": "s"})
    resolve = resolve_with("t0ken")
    assert resolve("main", "org/secret").private
    assert not resolve("main").private
    assert github.authorized
    assert all(path.startswith("/org/secret/") for path in github.authorized)


def test_what_only_the_token_sees_is_unknown_to_whoever_may_not_see_it(
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
def test_what_somebody_may_not_see_is_asked_for_and_nothing_written_down(
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


def test_the_token_is_for_github_alone(
    resolve_with: Callable[..., Resolve], github: GitServer, tmp_path: Path
) -> None:
    github.create("org/secret", token="t0ken").commit({"s": "s"})
    with GitServer(tmp_path / "elsewhere") as elsewhere:
        commit = elsewhere.create("a/b").commit({"b": "b"})
        resolve = resolve_with("t0ken", hosts=(elsewhere.url,))
        assert resolve("main", f"{elsewhere.url}/a/b").commit == commit
        elsewhere.create("a/secret", token="t0ken")
        assert _code(resolve, "main", f"{elsewhere.url}/a/secret") == "unknown_repository"
        assert elsewhere.authorized == []


def test_a_redirect_of_another_server_is_not_followed_but_explained(
    resolve_with: Callable[..., Resolve], github: GitServer, tmp_path: Path, remote_repository: BareRepository
) -> None:
    with GitServer(tmp_path / "elsewhere") as elsewhere:
        elsewhere.redirect("a/b", remote_repository.url)
        with pytest.raises(ResolveError, match="redirects to another address") as caught:
            resolve_with(hosts=(elsewhere.url,))("main", f"{elsewhere.url}/a/b")
        assert caught.value.code == "unknown_repository"
        assert len(elsewhere.requests) == 2  # with the suffix that GitLab redirects to, too
    assert github.requests == []


def test_gitlab_s_redirect_to_the_suffix_is_answered(
    resolve_with: Callable[..., Resolve], tmp_path: Path
) -> None:
    with GitServer(tmp_path / "gitlab", suffix_redirects=True) as gitlab:
        commit = gitlab.create("a/b").commit({"b": "b"})
        assert resolve_with(hosts=(gitlab.url,))("main", f"{gitlab.url}/a/b").commit == commit


def test_a_public_name_that_stands_for_a_private_address_is_not_asked(
    resolve_with: Callable[..., Resolve], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("10.0.0.7", 443))])
    with pytest.raises(ResolveError, match="is on a private network") as caught:
        resolve_with()("main", "https://git.example/a/b")
    assert caught.value.code == "unknown_repository"


def test_without_github_the_last_known_head_is_given_and_called_stale(
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
    assert _code(resolve, "other") == "github_unreachable"
    github.start()


def test_a_github_that_does_not_answer_is_given_up_and_no_child_is_left(
    resolve_with: Callable[..., Resolve], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ls_remote, "TIME_LIMIT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        resolve = resolve_with(url=address)
        assert _code(resolve, "main") == "github_unreachable"
        silent.settimeout(30)
        silent.accept()[0].close()  # git was there
        wait_until(lambda: not _processes_with(address))  # a killed process needs a moment to be gone


def _processes_with(text: str) -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_text())
        except OSError:  # it ended meanwhile
            continue
    return [line for line in lines if text in line and "git" in line]
