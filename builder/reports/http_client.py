"""How telling somebody of a build can fail, and how they are reached over HTTP: for GitHub and for notifications.

    TellingFailed
    ├── Later       an outage, a rate limit: to be tried again
    └── Impossible  a wrong token, an unknown repository: an admin has to mend something, trying again would not

No text of these holds an address or a token: they are stored and shown.
"""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

TIMEOUT = (10.0, 15.0)
"""Seconds to connect, and between two pieces of the answer."""

Authenticate = Callable[[requests.PreparedRequest], requests.PreparedRequest]


class NotifyError(Exception):
    """A report that was not told; the text says why in one line."""


class TransientNotifyError(NotifyError):
    """It is to be told later: after `wait` seconds at least, where that is known.

    `blocks_scope` says what else need not be tried until then: "" for the whole channel, else a `Teller.scope`; None
    where it is this report alone.
    """

    def __init__(self, text: str, *, wait: float | None = None, blocks_scope: str | None = None) -> None:
        super().__init__(text)
        self.wait, self.blocks_scope = wait, blocks_scope


class PermanentNotifyError(NotifyError):
    """It cannot be told until somebody mends something."""


class HttpClient:
    """One teller's connections. Redirects are not followed, and no answer is waited for without a limit."""

    def __init__(self, ca_bundle: Path | None = None) -> None:
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "repo2hub"
        if ca_bundle is not None:
            self._session.mount("https://", _ExtraCaAdapter(ca_bundle))

    def send(self, method: str, url: str, authenticate: Authenticate, **request: Any) -> requests.Response:
        """Return the answer, whatever its status. Raises Later where there is none."""
        # `auth` is always given: without it requests would look for a password in the user's ~/.netrc.
        options: dict[str, Any] = {"timeout": TIMEOUT, "allow_redirects": False, "auth": authenticate}
        try:
            return self._session.request(method, url, **options, **request)
        except requests.Timeout:
            raise TransientNotifyError("it did not answer in time", blocks_scope="") from None
        except requests.exceptions.SSLError:
            text = "its certificate is not trusted; a network's own CA goes to REPO2HUB_EXTRA_CA_CERTS"
            raise TransientNotifyError(text, blocks_scope="") from None
        except (requests.RequestException, OSError):  # not passed on: their texts hold the address
            raise TransientNotifyError("it cannot be reached", blocks_scope="") from None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


class _ExtraCaAdapter(HTTPAdapter):
    """Trusts a bundle besides the usual certificates."""

    def __init__(self, bundle: Path) -> None:
        self._context = ssl.create_default_context()
        self._context.load_verify_locations(cafile=str(bundle))
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, ssl_context=self._context)


def anonymous(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Send a request without a login."""
    return request


def retry_after(response: requests.Response) -> float | None:
    """Return the seconds of a Retry-After header, None where there is none; a date is not looked at."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 7 else None
