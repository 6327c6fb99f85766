"""Send HTTP requests for the notifiers: with timeouts, without redirects, with extra CA certificates."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from builder.reports.notifier import TransientNotifyError

TIMEOUT = (10.0, 15.0)
"""Seconds to connect, and between two parts of the answer."""

Authenticate = Callable[[requests.PreparedRequest], requests.PreparedRequest]


class HttpClient:
    """The connections of one notifier. Follows no redirects and sets a timeout for every request."""

    def __init__(self, extra_ca_certs: Path | None = None) -> None:
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "repo2hub"
        if extra_ca_certs is not None:
            self._session.mount("https://", _ExtraCaAdapter(extra_ca_certs))

    def send(self, method: str, url: str, authenticate: Authenticate, **request: Any) -> requests.Response:
        """Return the answer, whatever its status. Raises TransientNotifyError if there is none."""
        # `auth` is always set: without it, requests would look for a password in ~/.netrc.
        options: dict[str, Any] = {"timeout": TIMEOUT, "allow_redirects": False, "auth": authenticate}
        try:
            return self._session.request(method, url, **options, **request)
        except requests.Timeout:
            raise TransientNotifyError("the receiver did not answer in time", blocks_scope="") from None
        except requests.exceptions.SSLError:
            text = (
                "the receiver's certificate is not trusted; behind a TLS proxy, set REPO2HUB_EXTRA_CA_CERTS"
            )
            raise TransientNotifyError(text, blocks_scope="") from None
        except (requests.RequestException, OSError):  # not passed on: their texts contain the URL
            raise TransientNotifyError("cannot connect to the receiver", blocks_scope="") from None


class _ExtraCaAdapter(HTTPAdapter):
    """Trusts extra certificates in addition to the system's."""

    def __init__(self, extra_ca_certs: Path) -> None:
        self._context = ssl.create_default_context()
        self._context.load_verify_locations(cafile=str(extra_ca_certs))
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, ssl_context=self._context)


def anonymous(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Send a request without a login."""
    return request


def retry_after(response: requests.Response) -> float | None:
    """Return the seconds in a Retry-After header; None if it is missing or a date."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 7 else None


def json_or_none(response: requests.Response) -> Any:
    """Return the JSON of an answer; None if it has none."""
    try:
        return response.json()
    except ValueError:
        return None
