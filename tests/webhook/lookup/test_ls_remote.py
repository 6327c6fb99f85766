"""Listing refs with git: tokens, redirects, private networks, time limits."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.support.waiting import wait_until
from tests.webhook.lookup.conftest import Resolve, code_of
from webhook.http.errors import ResolveError
from webhook.lookup import ls_remote


def test_without_a_token_a_private_repository_is_missing(
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
    assert code_of(resolve_with("wrong"), "main", "org/secret") == "unknown_repository"


def test_a_renamed_repository_is_followed_without_the_token(
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


def test_the_token_is_sent_to_github_only(
    resolve_with: Callable[..., Resolve], github: GitServer, tmp_path: Path
) -> None:
    github.create("org/secret", token="t0ken").commit({"s": "s"})
    with GitServer(tmp_path / "elsewhere") as elsewhere:
        commit = elsewhere.create("a/b").commit({"b": "b"})
        resolve = resolve_with("t0ken", hosts=(elsewhere.url,))
        assert resolve("main", f"{elsewhere.url}/a/b").commit == commit
        elsewhere.create("a/secret", token="t0ken")
        assert code_of(resolve, "main", f"{elsewhere.url}/a/secret") == "unknown_repository"
        assert elsewhere.authorized == []


def test_a_redirect_of_another_server_is_explained_and_not_followed(
    resolve_with: Callable[..., Resolve], github: GitServer, tmp_path: Path, remote_repository: BareRepository
) -> None:
    with GitServer(tmp_path / "elsewhere") as elsewhere:
        elsewhere.redirect("a/b", remote_repository.url)
        with pytest.raises(ResolveError, match="redirects to another address") as caught:
            resolve_with(hosts=(elsewhere.url,))("main", f"{elsewhere.url}/a/b")
        assert caught.value.code == "unknown_repository"
        assert len(elsewhere.requests) == 2  # with the suffix that GitLab redirects to, too
    assert github.requests == []


def test_gitlabs_redirect_to_the_git_suffix_is_handled(
    resolve_with: Callable[..., Resolve], tmp_path: Path
) -> None:
    with GitServer(tmp_path / "gitlab", suffix_redirects=True) as gitlab:
        commit = gitlab.create("a/b").commit({"b": "b"})
        assert resolve_with(hosts=(gitlab.url,))("main", f"{gitlab.url}/a/b").commit == commit


def test_a_public_host_with_a_private_address_is_not_contacted(
    resolve_with: Callable[..., Resolve], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("10.0.0.7", 443))])
    with pytest.raises(ResolveError, match="is on a private network") as caught:
        resolve_with()("main", "https://git.example/a/b")
    assert caught.value.code == "unknown_repository"


def test_a_hanging_github_times_out_and_leaves_no_process(
    resolve_with: Callable[..., Resolve], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ls_remote, "TIME_LIMIT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        resolve = resolve_with(url=address)
        assert code_of(resolve, "main") == "github_unreachable"
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
