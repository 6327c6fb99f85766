"""What git says of a repository that it does not get, read alike by the builder and the web application."""

from collections.abc import Callable
from pathlib import Path

import pytest

from base.git_hosts import with_git_suffix
from base.git_messages import is_denied, is_hidden, is_redirect
from builder.errors import InfrastructureError, UserError
from builder.source import git_errors
from tests.conftest import NOW
from webhook.lookup.ls_remote import LsRemote, RepositoryMissing, Unreachable

ADDRESS = "https://git.example/a/b"
UNABLE = f"fatal: unable to access '{ADDRESS}/': The requested URL returned error:"
MOVED = [f"{UNABLE} {status}" for status in (301, 302, 307, 308)]
MOVED += [
    "fatal: unable to update url base from redirection:\n  asked for: https://a/info/refs\n  redirect: https://b/"
]
DENIED = [f"{UNABLE} 401", f"{UNABLE} 403", f"fatal: Authentication failed for '{ADDRESS}/'"]
DENIED += [f"fatal: could not read Username for '{ADDRESS}': terminal prompts disabled"]
MISSING = [f"fatal: repository '{ADDRESS}/' not found", f"{UNABLE} 404", f"{UNABLE} 451"]
MISSING += [
    "remote: Repository does not exist.\nfatal: the remote end said so",
    f"fatal: '{ADDRESS}' not exported",
]
MISSING += [f"fatal: '{ADDRESS}' does not appear to be a git repository"]
NEITHER = [f"{UNABLE} 500", f"{UNABLE} 429", "fatal: the remote end hung up unexpectedly", ""]


@pytest.mark.parametrize("said", [*MOVED, *DENIED, *MISSING, *NEITHER])
def test_a_message_means_one_thing(said: str) -> None:
    assert (is_redirect(said), is_denied(said)) == (said in MOVED, said in DENIED)
    assert is_hidden(said) is (said in DENIED + MISSING)


@pytest.fixture
def git_that_says(tmp_path: Path) -> Callable[[str], LsRemote]:
    """A git that fails with a message, and who asks it."""

    def asked(said: str) -> LsRemote:
        (tmp_path / "said").write_text(said)
        git = tmp_path / "git"
        git.write_text(f"#!/bin/sh\ncat {tmp_path}/said >&2\nexit 128\n")
        git.chmod(0o755)
        environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        return LsRemote("https://github.com", None, environ, lambda: NOW, ("git.example",))

    return asked


@pytest.mark.parametrize("said", [*DENIED, *MISSING, *NEITHER])
def test_builder_and_web_application_take_the_same_for_missing(
    git_that_says: Callable[[str], LsRemote], said: str
) -> None:
    is_final = said not in NEITHER
    error = git_errors.fetch_error(ADDRESS, "a" * 40, said, at_github=False)
    assert isinstance(error, UserError if is_final else InfrastructureError)
    with pytest.raises(RepositoryMissing if is_final else Unreachable):
        git_that_says(said).list_refs(ADDRESS)


def test_the_suffix_stands_behind_the_name() -> None:
    assert with_git_suffix(ADDRESS) == with_git_suffix(f"{ADDRESS}/") == f"{ADDRESS}.git"
