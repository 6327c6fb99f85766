"""The error that git's output means: its class, its cause, and what the message names."""

import pytest

from builder.errors import BuildError, InfrastructureError, UserError
from builder.source.git_errors import checkout_error, fetch_error, redirect_error, submodule_error

URL = "https://github.com/org/repo"
COMMIT = "a" * 40


def check(error: BuildError, kind: type[BuildError], cause: str, named: str) -> None:
    assert (type(error), error.cause) == (kind, cause)
    assert named in error.message and "\n" not in error.message


@pytest.mark.parametrize(
    ("output", "kind", "cause", "named"),
    [
        ("fatal: write error: No space left on device", InfrastructureError, "no_space", "repo2hub prune"),
        (
            "fatal: unable to access: server certificate verification failed. CAfile: none",
            InfrastructureError,
            "tls_untrusted",
            "REPO2HUB_EXTRA_CA_CERTS",
        ),
        ("fatal: remote error: upload-pack: not our ref", UserError, "commit_not_found", COMMIT),
        ("remote: Repository not found.\nfatal: repository", UserError, "repository_not_found", URL),
        (
            "fatal: Could not resolve host: github.com",
            InfrastructureError,
            "github_unreachable",
            "Cannot reach github.com: fatal: Could not resolve host",
        ),
        ("warning: x\nfatal: bad object", InfrastructureError, "fetch_failed", "fatal: bad object"),
        ("", InfrastructureError, "fetch_failed", "git printed nothing"),
    ],
)
def test_a_failed_fetch(output: str, kind: type[BuildError], cause: str, named: str) -> None:
    check(fetch_error(URL, COMMIT, output), kind, cause, named)


def test_a_rejected_token_is_for_the_admin_to_fix() -> None:
    error = fetch_error(URL, COMMIT, "fatal: Authentication failed for 'x'", with_token=True)
    check(error, InfrastructureError, "token_refused", "REPO2HUB_GITHUB_TOKEN")


@pytest.mark.parametrize(
    ("output", "at_github", "cause", "named"),
    [
        ("fatal: The requested URL returned error: 302", True, "repository_moved", "redirects"),
        ("fatal: repository not found", True, "repository_moved", "renamed or moved"),
        ("fatal: repository not found", False, "repository_not_found", "only public repositories"),
    ],
)
def test_a_redirect_that_leads_to_nothing(output: str, at_github: bool, cause: str, named: str) -> None:
    check(redirect_error(URL, COMMIT, output, at_github=at_github), UserError, cause, named)


def test_a_failed_checkout() -> None:
    check(checkout_error("error: invalid path 'a\\b'"), UserError, "checkout_refused", "invalid path")
    check(checkout_error("fatal: broken"), InfrastructureError, "checkout_failed", "fatal: broken")


@pytest.mark.parametrize(
    ("output", "kind", "cause"),
    [
        ("fatal: unable to access: Connection timed out", InfrastructureError, "submodule_unreachable"),
        ("fatal: unable to access: The requested URL returned error: 301", UserError, "submodule_not_found"),
        ("fatal: repository not found", UserError, "submodule_not_found"),
    ],
)
def test_a_failed_submodule(output: str, kind: type[BuildError], cause: str) -> None:
    check(submodule_error(output), kind, cause, output)
