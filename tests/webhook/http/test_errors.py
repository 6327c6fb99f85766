"""The errors of requests, without a web server."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT
from webhook.access.concurrency_limit import LimitReached
from webhook.github.receiver import RefusedDelivery
from webhook.http.errors import HttpError, ResolveError


@pytest.mark.parametrize(
    ("code", "status", "headers"),
    [
        ("unknown_ref", 404, {}),
        ("unknown_repository", 404, {}),
        ("host_not_allowed", 403, {}),
        ("github_unreachable", 503, {"Retry-After": "5"}),
        ("bad_ref", 422, {}),
    ],
)
def test_the_code_of_a_resolve_error_decides_its_status(
    code: str, status: int, headers: dict[str, str]
) -> None:
    error = ResolveError(code, "Why.")
    assert (error.status, error.code, str(error), error.headers) == (status, code, "Why.", headers)


def test_every_error_of_a_request_is_an_http_error() -> None:
    errors = [
        ResolveError("bad_ref", "Why."),
        LimitReached(429, "too_many_streams", "You reached your limit"),
        RefusedDelivery(401, "bad_signature", "Why."),
    ]
    assert all(isinstance(error, HttpError) for error in errors)
    assert str(errors[1]) == "You reached your limit. Try again in 10 seconds."


def test_the_command_line_can_import_them_without_flask() -> None:
    code = "import sys, webhook.lookup.revision, webhook.http.errors; sys.exit('flask' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
