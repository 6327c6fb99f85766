"""The git server behaves like GitHub's where other tests and the demo depend on it."""

import subprocess
from http.client import HTTPConnection

import pytest

from demo.github.git_server import GitServer


def ls_remote(url: str) -> dict[str, str]:
    env = {
        "PATH": "/usr/bin:/bin",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    argv = ["git", "ls-remote", "--symref", url]
    lines = subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split("\t")[1]: line.split("\t")[0] for line in lines}


def test_branches_tags_and_head_are_listed(github: GitServer) -> None:
    repository = github.create("Org/Repo")
    first = repository.commit({"a": "1"})
    second = repository.commit({"a": "2"}, branch="topic/x", parents=(first,))
    repository.tag("light")
    tag = repository.tag("v1", commit=second, annotated=True)
    assert ls_remote(repository.url) == {
        "HEAD": first,
        "refs/heads/main": first,
        "refs/heads/topic/x": second,
        "refs/tags/light": first,
        "refs/tags/v1": tag,
        "refs/tags/v1^{}": second,
    }
    assert tag not in (first, second)
    repository.delete_ref("refs/heads/topic/x")
    repository.branch("main", second)
    assert "refs/heads/topic/x" not in ls_remote(repository.url)
    assert repository.head() == second and repository.head("nosuch") is None


@pytest.mark.parametrize("name", ["Org/Repo", "org/repo", "ORG/REPO.git"])
def test_names_are_case_insensitive_with_and_without_git_suffix(github: GitServer, name: str) -> None:
    commit = github.create("Org/Repo").commit({"a": "1"})
    assert ls_remote(f"{github.url}/{name}")["HEAD"] == commit
    assert github.requests[0] == f"GET /{name}/info/refs?service=git-upload-pack"


def test_the_same_files_have_the_same_hash(github: GitServer) -> None:
    one, other = github.create("org/one"), github.create("org/other")
    files: dict[str, str | bytes | None] = {"a": "1", "b": b"\0"}
    assert one.commit(files) == other.commit(files)
    assert one.commit({"b": None}) == other.commit({"b": None})
    assert one.commit({"c": "x"}) != other.commit({"c": "y"})


def test_deleted_and_private_repositories_get_the_same_response(github: GitServer) -> None:
    github.create("org/gone").commit({"a": "1"})
    github.create("org/private", token="ghs_0123456789").commit({"a": "1"})
    github.delete("org/gone")
    for name in ("org/gone", "org/private"):
        with pytest.raises(subprocess.CalledProcessError) as caught:
            ls_remote(f"{github.url}/{name}")
        assert "uthentication failed" in caught.value.stderr or "could not read" in caught.value.stderr


def test_files_outside_of_repositories_are_not_served(github: GitServer) -> None:
    github.create("org/repo").commit({"a": "1"})
    statuses = []
    for path in ("/org/../../etc/passwd", "/org/repo/../../../etc/passwd", "/", "/org", "/org/repo/config"):
        connection = HTTPConnection(github.url.removeprefix("http://"))
        connection.request("GET", path)
        statuses.append(connection.getresponse().status)
        connection.close()
    assert statuses == [401, 500, 401, 401, 404]
