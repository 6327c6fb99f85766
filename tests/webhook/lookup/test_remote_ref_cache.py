"""The cache of refs: what is shared, kept and evicted."""

import gc
import os
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from db.database import Database
from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.conftest import RECIPE
from tests.support.waiting import wait_until
from tests.webhook.lookup.conftest import Resolve, code_of, list_requests
from tests.webhook.records import Clock
from tests.webhook.slow_git import SlowGit
from webhook.access.permissions import User
from webhook.http.errors import ResolveError
from webhook.lookup import remote_ref_cache
from webhook.lookup.ls_remote import AdvertisedRefs, LsRemote
from webhook.lookup.remote_ref_cache import RemoteRefCache
from webhook.lookup.resolve import Resolver
from webhook.lookup.revision import parse_ref


def test_simultaneous_callers_share_one_request(
    resolve: Resolve, remote_repository: BareRepository, github: GitServer
) -> None:
    remote_repository.tag("v1")
    names = ["main", "v1", "HEAD", "refs/heads/main"] * 5
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(resolve, names))
    assert {answer.commit for answer in found} == {remote_repository.head()}
    assert len(list_requests(github)) == 1


def test_a_user_with_many_waiting_requests_does_not_block_others(
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


def test_an_answer_is_cached_for_a_short_time(
    resolve: Resolve, remote_repository: BareRepository, github: GitServer
) -> None:
    resolve("main")
    newer = remote_repository.commit({"n": "n"})
    assert resolve("main").commit != newer
    assert resolve("main", max_age=timedelta(0)).commit == newer
    assert len(list_requests(github)) == 2


def _refs_in_memory() -> int:
    return sum(len(found.refs) for found in gc.get_objects() if isinstance(found, AdvertisedRefs))


def test_pull_requests_are_cached_without_branches_and_tags(
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


def test_the_oldest_answers_are_evicted_over_the_limit(
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


def test_expired_answers_are_evicted(
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


def test_a_cached_failure_does_not_keep_gits_output(
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
        assert code_of(resolve, "main") == "github_unreachable"
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


def test_missing_repositories_are_cached_too(
    resolve: Resolve, remote_repository: BareRepository, github: GitServer
) -> None:
    assert [code_of(resolve, "nope"), code_of(resolve, "neither")] == ["unknown_ref"] * 2
    assert len(list_requests(github)) == 1
    asked = len(github.requests)
    assert code_of(resolve, "main", "no/repository") == "unknown_repository"
    asked_once = len(github.requests) - asked
    assert code_of(resolve, "main", "no/repository") == "unknown_repository"
    assert len(github.requests) - asked == asked_once >= 1
