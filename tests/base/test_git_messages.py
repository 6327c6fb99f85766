"""What git prints about a repository that it cannot read, interpreted alike by builder and web application."""

from collections.abc import Callable
from pathlib import Path

import pytest

from base.allowed_git_hosts import with_git_suffix
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


@pytest.mark.parametrize("message", [*MOVED, *DENIED, *MISSING, *NEITHER])
def test_a_message_means_one_thing(message: str) -> None:
    assert (is_redirect(message), is_denied(message)) == (message in MOVED, message in DENIED)
    assert is_hidden(message) is (message in DENIED + MISSING)


@pytest.fixture
def git_that_prints(tmp_path: Path) -> Callable[[str], LsRemote]:
    """A git that fails with a message, and who asks it."""

    def asked(message: str) -> LsRemote:
        (tmp_path / "message").write_text(message)
        git = tmp_path / "git"
        git.write_text(f"#!/bin/sh\ncat {tmp_path}/message >&2\nexit 128\n")
        git.chmod(0o755)
        environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        return LsRemote("https://github.com", None, environ, lambda: NOW, ("git.example",))

    return asked


@pytest.mark.parametrize("message", [*DENIED, *MISSING, *NEITHER])
def test_builder_and_web_application_agree_on_missing_repositories(
    git_that_prints: Callable[[str], LsRemote], message: str
) -> None:
    is_final = message not in NEITHER
    error = git_errors.fetch_error(ADDRESS, "a" * 40, message, at_github=False)
    assert isinstance(error, UserError if is_final else InfrastructureError)
    with pytest.raises(RepositoryMissing if is_final else Unreachable):
        git_that_prints(message).list_refs(ADDRESS)


def test_the_suffix_stands_behind_the_name() -> None:
    assert with_git_suffix(ADDRESS) == with_git_suffix(f"{ADDRESS}/") == f"{ADDRESS}.git"
