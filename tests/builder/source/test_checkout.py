"""Fetching from a real git server: the right files, no token where it does not belong, and errors that help."""

import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from base.git_environment import git_environment
from builder.errors import InfrastructureError, Stopped, StopReason, UserError
from builder.source.checkout import commit_details
from builder.source.git_access import GitAccess
from builder.source.git_folder import drop_git
from demo.github.git_server import GitServer
from tests.builder.source.conftest import TOKEN, Checkout, failure, tree

UNKNOWN = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def untrusted_https(tmp_path: Path) -> Iterator[str]:
    """An HTTPS server with a certificate that it signed itself."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    argv = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    subprocess.run(
        [*argv.split(), "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


# The right files


def test_exactly_the_requested_commit_is_fetched_without_its_history(
    github: GitServer, checkout: Checkout
) -> None:
    repository = github.create("Org/Repo")
    first = repository.commit({"a.txt": "1", "run": "#!/bin/sh\n"}, executable=frozenset({"run"}))
    repository.commit({"a.txt": "2"})
    folder = checkout("org/repo", first)
    assert tree(folder) == {"a.txt": b"1", "run": b"#!/bin/sh\n"}
    assert os.access(folder / "run", os.X_OK) and not os.access(folder / "a.txt", os.X_OK)
    assert git(folder, "rev-list", "--count", "HEAD") == "1"


def test_a_branch_whose_name_ends_in_another_branchs_name_does_not_confuse(
    github: GitServer, checkout: Checkout
) -> None:
    repository = github.create("org/repo")
    repository.commit({"a": "main"})
    other = repository.commit({"a": "other"}, branch="x/main")
    assert tree(checkout("org/repo", other)) == {"a": b"other"}


def test_commits_that_no_branch_leads_to_are_fetched(github: GitServer, checkout: Checkout) -> None:
    repository = github.create("org/repo")
    old = repository.commit({"a": "old"})
    repository.commit({"a": "new"}, parents=())
    pull = repository.commit({"a": "pull"}, branch="tmp")
    repository.set_ref("refs/pull/1/head", pull)
    repository.delete_ref("refs/heads/tmp")
    assert tree(checkout("org/repo", old)) == {"a": b"old"}
    assert tree(checkout("org/repo", pull)) == {"a": b"pull"}


def test_links_are_checked_out_as_links(github: GitServer, checkout: Checkout) -> None:
    commit = github.create("org/repo").commit({"a": "x"}, links={"b": "a"})
    assert os.readlink(checkout("org/repo", commit) / "b") == "a"


def test_the_title_and_author_are_shortened_and_sanitized(github: GitServer, checkout: Checkout) -> None:
    message = "Fix \x1b[31mthe\x1b]0;evil\x07 thing\u202e " + "x" * 500 + "\n\nBody"
    commit = github.create("org/repo").commit({"a": "x"}, message=message)
    title, author = commit_details(checkout("org/repo", commit))
    assert title.startswith("Fix the thing xxx") and len(title) == 200 and title.isprintable()
    assert author == "Ada Lovelace"


def test_the_log_shows_no_progress_lines(github: GitServer, checkout: Checkout) -> None:
    commit = github.create("org/repo").commit({f"{number}.txt": str(number) for number in range(300)})
    checkout("org/repo", commit)
    assert [line for line in checkout.lines if "%" in line and "done" not in line] == []


# Nothing of the machine, and the token for one place


def test_the_machines_git_configuration_has_no_say(
    github: GitServer, checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "admin"
    (home / "hooks").mkdir(parents=True)
    hook = home / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {home}/ran\n")
    hook.chmod(0o755)
    (home / ".gitconfig").write_text(
        f'[core]\n\thooksPath = {home}/hooks\n[url "file:///nowhere/"]\n\tinsteadOf = {github.url}/\n'
    )
    monkeypatch.setenv("HOME", str(home))
    commit = github.create("org/repo").commit({"a": "x"})
    assert tree(checkout("org/repo", commit)) == {"a": b"x"}
    assert not (home / "ran").exists()


def test_a_private_repository_is_fetched_with_the_token_which_is_kept_nowhere(
    github: GitServer, checkout: Checkout, tmp_path: Path
) -> None:
    commit = github.create("org/secret", token=TOKEN).commit({"a": "x"})
    folder = checkout("org/secret", commit, token=TOKEN)
    assert tree(folder) == {"a": b"x"}
    written = b"".join(path.read_bytes() for path in folder.parent.rglob("*") if path.is_file())
    assert TOKEN.encode() not in written and b"Authorization" not in written and b"Basic" not in written
    assert TOKEN not in "".join(checkout.lines)
    assert f"url = {github.url}/org/secret" in (folder / ".git/config").read_text()


def test_the_token_is_in_no_argument_of_a_process(github: GitServer, tmp_path: Path) -> None:
    access = GitAccess(github.url, SecretStr(TOKEN), tmp_path, None)
    environment = access.environment(f"{github.url}/org/repo")
    assert any(
        name.startswith("GIT_CONFIG_VALUE_") and "Basic" in value for name, value in environment.items()
    )
    assert TOKEN not in repr(access)


def test_the_token_does_not_follow_a_redirect(github: GitServer, checkout: Checkout, tmp_path: Path) -> None:
    with GitServer(tmp_path / "elsewhere") as elsewhere:
        commit = elsewhere.create("org/repo").commit({"a": "x"})
        github.redirect("org/repo", f"{elsewhere.url}/org/repo")
        checkout("org/repo", commit, token=TOKEN)
        assert elsewhere.requests != [] and elsewhere.authorized == []


def test_a_renamed_repository_is_found_by_its_old_name(github: GitServer, checkout: Checkout) -> None:
    commit = github.create("org/old").commit({"a": "x"})
    github.rename("org/old", "org/new")
    assert tree(checkout("org/old", commit)) == {"a": b"x"}
    assert tree(checkout("org/old", commit, token=TOKEN)) == {"a": b"x"}


def test_a_renamed_private_repository_is_explained(github: GitServer, checkout: Checkout) -> None:
    commit = github.create("org/old", token=TOKEN).commit({"a": "x"})
    github.rename("org/old", "org/new")
    error = failure(checkout, "org/old", commit, token=TOKEN)
    assert isinstance(error, UserError) and "new name" in error.message


def test_filters_named_by_the_repository_do_not_run(
    github: GitServer, checkout: Checkout, tmp_path: Path
) -> None:
    attributes = {
        ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
        "a.bin": "version pointer\n",
    }
    folder = checkout("org/repo", github.create("org/repo").commit(attributes))
    assert (folder / "a.bin").read_text() == "version pointer\n"


# Other servers


@pytest.fixture
def gitlab(tmp_path: Path, checkout: Checkout) -> Iterator[GitServer]:
    """A server that is not GitHub, in the settings, and redirects names without the suffix as GitLab does."""
    with GitServer(tmp_path / "gitlab", suffix_redirects=True) as server:
        checkout.hosts = (server.url,)
        yield server


def test_gitlab_s_redirect_to_the_suffix_is_answered(gitlab: GitServer, checkout: Checkout) -> None:
    commit = gitlab.create("a/b").commit({"a": "x"})
    assert tree(checkout("a/b", commit, elsewhere=gitlab.url)) == {"a": b"x"}


def test_another_server_s_redirect_is_not_followed_but_explained(
    github: GitServer, gitlab: GitServer, checkout: Checkout
) -> None:
    commit = github.create("org/internal").commit({"a": "x"})
    gitlab.redirect("a/b", f"{github.url}/org/internal")
    error = failure(checkout, "a/b", commit, elsewhere=gitlab.url)
    assert isinstance(error, UserError) and error.cause == "repository_moved"
    assert "redirects to another address" in error.message
    assert github.requests == []


def test_a_missing_repository_of_another_server_needs_no_token(gitlab: GitServer, checkout: Checkout) -> None:
    error = failure(checkout, "a/nosuch", UNKNOWN, elsewhere=gitlab.url)
    assert isinstance(error, UserError) and error.cause == "repository_not_found"
    assert "only public repositories of this server" in error.message and "TOKEN" not in error.message


def test_git_connects_to_the_pinned_address_only(github: GitServer) -> None:
    commit = github.create("org/repo").commit({"a": "x"})
    host = f"git.example:{github.url.rpartition(':')[2]}"
    pin = [("http.curloptResolve", f"{host}:127.0.0.1")]  # as `base.allowed_git_hosts.pinned` writes it
    env = git_environment(github.url, os.environ, github_url=github.url, config=pin)
    argv = ["git", "ls-remote", f"http://{host}/org/repo", "HEAD"]
    said = subprocess.run(argv, env=env, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said == f"{commit}\tHEAD\n"


@pytest.mark.parametrize(
    ("elsewhere", "why"),
    [
        ("https://localhost", "on a private network"),
        ("https://10.0.0.7", "on a private network"),
        ("https://0x7f.1", "on a private network"),
        ("http://git.example", "accessed with https"),
    ],
)
def test_a_server_that_is_not_public_has_to_be_in_the_settings(
    checkout: Checkout, elsewhere: str, why: str
) -> None:
    error = failure(checkout, "a/b", UNKNOWN, elsewhere=elsewhere)
    assert isinstance(error, UserError) and error.cause == "host_not_allowed"
    assert why in error.message


# Errors


def test_an_unknown_commit_is_a_user_error(github: GitServer, checkout: Checkout) -> None:
    github.create("org/repo").commit({"a": "x"})
    error = failure(checkout, "org/repo", UNKNOWN)
    assert isinstance(error, UserError) and error.cause == "commit_not_found"
    assert UNKNOWN in error.message and "force push" in error.message


@pytest.mark.parametrize("token", ["", TOKEN])
def test_a_missing_repository_is_a_user_error(github: GitServer, checkout: Checkout, token: str) -> None:
    error = failure(checkout, "org/nosuch", UNKNOWN, token=token)
    assert isinstance(error, UserError) and error.cause == "repository_not_found"
    assert "org/nosuch" in error.message and "REPO2HUB_GITHUB_TOKEN" in error.message


def test_a_private_repository_without_a_token_looks_like_a_missing_one(
    github: GitServer, checkout: Checkout
) -> None:
    commit = github.create("org/secret", token=TOKEN).commit({"a": "x"})
    error = failure(checkout, "org/secret", commit)
    assert isinstance(error, UserError) and error.cause == "repository_not_found"
    assert "to build a private repository, an admin sets REPO2HUB_GITHUB_TOKEN" in error.message


def test_a_wrong_token_is_an_infrastructure_error(github: GitServer, checkout: Checkout) -> None:
    commit = github.create("org/secret", token=TOKEN).commit({"a": "x"})
    error = failure(checkout, "org/secret", commit, token="ghs_anotherlongtoken")
    assert isinstance(error, InfrastructureError) and error.cause == "token_refused"
    assert "ghs_" not in error.message


@pytest.mark.parametrize("base", ["http://127.0.0.1:1", "http://host.invalid"])
def test_an_unreachable_server_is_tried_again(checkout: Checkout, base: str) -> None:
    error = failure(checkout, "org/repo", UNKNOWN, base=base)
    assert isinstance(error, InfrastructureError) and error.cause == "github_unreachable"


def test_an_untrusted_certificate_names_the_setting(
    checkout: Checkout, tmp_path: Path, untrusted_https: str
) -> None:
    error = failure(checkout, "org/repo", UNKNOWN, base=untrusted_https)
    assert isinstance(error, InfrastructureError) and error.cause == "tls_untrusted"
    assert "REPO2HUB_EXTRA_CA_CERTS" in error.message


def test_a_path_that_git_refuses_is_a_user_error(github: GitServer, checkout: Checkout) -> None:
    commit = github.create("org/repo").commit({"a/git~1/config": "x"})
    error = failure(checkout, "org/repo", commit)
    assert isinstance(error, UserError) and error.cause == "checkout_refused"


def test_a_fetch_can_be_stopped(github: GitServer, checkout: Checkout) -> None:
    commit = github.create("org/repo").commit({"a": "x"})
    checkout.stop.set(StopReason.CANCELLED)
    with pytest.raises(Stopped):
        checkout("org/repo", commit)


def test_a_timeout_names_the_whole_limit(github: GitServer, checkout: Checkout) -> None:
    commit = github.create("org/repo").commit({"a": "x"})
    with pytest.raises(UserError, match=r"stopped after 0\.001 s"):
        checkout("org/repo", commit, limit=0.001)


@pytest.mark.parametrize(
    "commit", ["main", "HEAD", "--upload-pack=x", "0123456", UNKNOWN.upper(), UNKNOWN + "\n"]
)
def test_only_a_full_hash_is_ever_asked_for(checkout: Checkout, commit: str) -> None:
    with pytest.raises(ValueError, match="not a full commit hash"):
        checkout("org/repo", commit)


# .git


def test_a_kept_git_folder_is_clean_and_equal_in_two_clones(github: GitServer, checkout: Checkout) -> None:
    files = {"pyproject.toml": '[build-system]\nrequires = ["setuptools-scm"]\n', "a.py": "x = 1\n"}
    commit = github.create("org/repo").commit(files)
    folders = [checkout("org/repo", commit), checkout("org/repo", commit)]
    assert [drop_git(folder) for folder in folders] == [False, False]
    first, second = (
        {str(p.relative_to(f)): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders
    )
    assert first == second
    assert git(folders[0], "status", "--porcelain") == ""
    assert git(folders[0], "describe", "--always", "--dirty", "--abbrev=40") == commit


def test_a_git_folder_that_nothing_needs_is_dropped(github: GitServer, checkout: Checkout) -> None:
    folder = checkout("org/repo", github.create("org/repo").commit({"requirements.txt": "numpy\n"}))
    assert drop_git(folder)
    assert not (folder / ".git").exists()
