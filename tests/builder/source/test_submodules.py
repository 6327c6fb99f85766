"""Submodules: fetched at every depth, without the token, and from nowhere that git should not connect to."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import UserError
from builder.source.git_folder import drop_git
from builder.source.validation import validate_checkout
from demo.github.git_server import GitServer
from tests.builder.source.conftest import TOKEN, Checkout, failure


def test_submodules_come_along_also_nested_and_relative_ones(github: GitServer, checkout: Checkout) -> None:
    inner = github.create("org/inner").commit({"deep.txt": "deep"})
    lib = github.create("org/lib")
    old = lib.commit(
        {".gitmodules": '[submodule "inner"]\n\tpath = inner\n\turl = ../inner.git\n', "lib.py": "x = 1"},
        submodules={"inner": inner},
    )
    lib.commit({"lib.py": "x = 2"})
    modules = f'[submodule "lib"]\n\tpath = vendor/lib\n\turl = {github.url}/org/lib\n'
    commit = github.create("org/repo").commit({".gitmodules": modules}, submodules={"vendor/lib": old})
    folder = checkout("org/repo", commit)
    assert (folder / "vendor/lib/lib.py").read_text() == "x = 1"
    assert (folder / "vendor/lib/inner/deep.txt").read_text() == "deep"
    validate_checkout(folder, max_bytes=10**6, max_files=100)
    assert drop_git(folder)
    assert list(folder.rglob(".git")) == []


def test_a_submodule_named_by_ssh_is_fetched_over_http(github: GitServer, checkout: Checkout) -> None:
    lib = github.create("org/lib").commit({"lib.py": "x"})
    host = github.url.removeprefix("http://")
    modules = f'[submodule "lib"]\n\tpath = lib\n\turl = ssh://git@{host}/org/lib.git\n'
    commit = github.create("org/repo").commit({".gitmodules": modules}, submodules={"lib": lib})
    assert (checkout("org/repo", commit) / "lib/lib.py").read_text() == "x"


def test_submodules_are_fetched_without_the_token(github: GitServer, checkout: Checkout) -> None:
    # Else anybody could have a private repository's files built into an image of their own.
    victim = github.create("victim/private", token=TOKEN).commit({"secret": "x"})
    modules = f'[submodule "x"]\n\tpath = x\n\turl = {github.url}/victim/private\n'
    evil = github.create("evil/public").commit({".gitmodules": modules}, submodules={"x": victim})
    error = failure(checkout, "evil/public", evil, token=TOKEN)
    assert isinstance(error, UserError) and error.cause == "submodule_not_found"
    assert {path.split("/")[1] for path in github.authorized} <= {"evil"}


@pytest.mark.parametrize("protocol", ["file", "ext", "ssh"])
def test_submodules_speak_http_only(
    github: GitServer, checkout: Checkout, tmp_path: Path, protocol: str
) -> None:
    url = {
        "file": f"file://{tmp_path}/srv/org/lib.git",
        "ext": f"ext::sh -c touch% {tmp_path}/ran",
        "ssh": "ssh://git@host.invalid/org/lib",
    }[protocol]
    lib = github.create("org/lib").commit({"a": "x"})
    modules = f'[submodule "lib"]\n\tpath = lib\n\turl = {url}\n'
    commit = github.create("org/repo").commit({".gitmodules": modules}, submodules={"lib": lib})
    error = failure(checkout, "org/repo", commit)
    assert isinstance(error, UserError) and error.cause == "submodule_not_found"
    assert not (tmp_path / "ran").exists()


def with_submodule(github: GitServer, url: str, commit: str) -> str:
    """Return a commit of org/repo with a submodule at `url`."""
    escaped = url.replace("\\", "\\\\")
    modules = f'[submodule "lib"]\n\tpath = lib\n\turl = {escaped}\n'
    return github.create("org/repo").commit({".gitmodules": modules}, submodules={"lib": commit})


@pytest.fixture
def internal(tmp_path: Path) -> Iterator[GitServer]:
    """A server that this machine reaches and that is nobody's business."""
    with GitServer(tmp_path / "internal") as server:
        yield server


def test_a_submodule_on_a_listed_server_is_fetched(
    github: GitServer, internal: GitServer, checkout: Checkout
) -> None:
    lib = internal.create("org/lib").commit({"lib.py": "x"})
    checkout.hosts = (internal.url,)
    commit = with_submodule(github, f"{internal.url}/org/lib", lib)
    assert (checkout("org/repo", commit) / "lib/lib.py").read_text() == "x"


def test_gitlab_s_redirect_to_the_suffix_is_answered(
    github: GitServer, checkout: Checkout, tmp_path: Path
) -> None:
    with GitServer(tmp_path / "gitlab", suffix_redirects=True) as gitlab:
        lib = gitlab.create("org/lib").commit({"lib.py": "x"})
        checkout.hosts = (gitlab.url,)
        commit = with_submodule(github, f"{gitlab.url}/org/lib", lib)
        assert (checkout("org/repo", commit) / "lib/lib.py").read_text() == "x"


def test_a_submodule_s_redirect_is_not_followed(
    github: GitServer, internal: GitServer, checkout: Checkout, tmp_path: Path
) -> None:
    lib = internal.create("org/lib").commit({"lib.py": "x"})
    with GitServer(tmp_path / "evil") as evil:
        evil.redirect("org/lib", f"{internal.url}/org/lib")
        checkout.hosts = (evil.url,)
        error = failure(checkout, "org/repo", with_submodule(github, f"{evil.url}/org/lib", lib))
    assert isinstance(error, UserError) and error.cause == "submodule_not_found"
    assert "A submodule's URL redirects" in error.message
    assert internal.requests == []


@pytest.mark.parametrize("written", ["{url}/org/lib", "http://x@{host}/org/lib", "http://{host}?/org/lib"])
def test_a_submodule_on_an_unlisted_server_is_not_fetched_without_tls(
    github: GitServer, internal: GitServer, checkout: Checkout, written: str
) -> None:
    lib = internal.create("org/lib").commit({"lib.py": "x"})
    url = written.format(url=internal.url, host=internal.url.removeprefix("http://"))
    error = failure(checkout, "org/repo", with_submodule(github, url, lib))
    assert isinstance(error, UserError) and error.cause == "submodule_not_found"
    assert internal.requests == []


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "2130706433", "169.254.169.254", "[::1]", "a\\@b"]
)
def test_a_submodule_on_a_private_network_is_not_fetched(
    github: GitServer, checkout: Checkout, host: str, depth: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        url = f"https://{host}:{listening.getsockname()[1]}/org/lib"
        commit = with_submodule(github, url, "ab" * 20)
        if depth == 2:
            modules = '[submodule "repo"]\n\tpath = repo\n\turl = ../repo\n'
            outer = github.create("org/outer")
            commit = outer.commit({".gitmodules": modules}, submodules={"repo": commit})
        error = failure(checkout, "org/outer" if depth == 2 else "org/repo", commit)
        assert isinstance(error, UserError) and error.cause == "submodule_not_found"
        assert "private network" in error.message or "https://host/path" in error.message
        with pytest.raises(BlockingIOError):
            listening.accept()
