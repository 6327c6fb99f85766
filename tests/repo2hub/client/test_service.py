"""The client of the HTTP API."""

import requests

from repo2hub.client.service import NOT_FOUND_CODES, root_cause
from webhook.http.errors import RESOLVE_ERROR_STATUS
from webhook.http.parameters import unknown_build


def test_root_cause_is_the_innermost_error() -> None:
    inner = OSError("Connection refused")
    assert (
        root_cause(requests.ConnectionError(requests.ConnectionError("outer", inner))) == "Connection refused"
    )


def test_the_client_knows_all_codes_of_404_responses() -> None:
    codes = {code for code, status in RESOLVE_ERROR_STATUS.items() if status == 404} | {unknown_build().code}
    assert codes == NOT_FOUND_CODES
