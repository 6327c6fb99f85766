"""The client of the HTTP API."""

import requests

from repo2hub.client.service import root_cause


def test_root_cause_is_the_innermost_error() -> None:
    inner = OSError("Connection refused")
    assert (
        root_cause(requests.ConnectionError(requests.ConnectionError("outer", inner))) == "Connection refused"
    )
